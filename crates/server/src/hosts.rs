//! Under which names this server answers, and to which pages. A page of a stranger that has its own name resolved to our
//! address must not get through, nor one that simply calls.

use std::net::IpAddr;

/// Names and origins, all in lower case.
#[derive(Debug, Clone)]
pub struct Hosts {
    names: Vec<String>,
    origins: Vec<String>,
}

impl Hosts {
    /// Loopback names and literal addresses are always allowed: no name is resolved for them, so none can be turned.
    pub fn new(names: &[String], origins: &[String]) -> Self {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_lowercase()).collect();
        Self {
            names: lower(names),
            origins: lower(origins),
        }
    }

    /// `host` as a request says it, with or without a port.
    pub fn allows(&self, host: &str) -> bool {
        let Some(name) = name(host) else {
            return false;
        };
        name == "localhost"
            || name.ends_with(".localhost")
            || address(&name).is_some()
            || self.names.iter().any(|allowed| {
                allowed == "*" || *allowed == name || allowed.eq_ignore_ascii_case(host)
            })
    }

    /// True for pages served under the very name that they call, and for those configured.
    pub fn allows_origin(&self, origin: &str, host: &str) -> bool {
        let same = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|authority| authority.eq_ignore_ascii_case(host));
        same || self.is_configured(origin)
    }

    /// True for pages elsewhere that the configuration lets read the answers.
    pub fn is_configured(&self, origin: &str) -> bool {
        self.origins
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

fn address(name: &str) -> Option<IpAddr> {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(name).parse().ok()
}

/// The name without its port; `None` if it is no host at all.
fn name(host: &str) -> Option<String> {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let port_is_fine = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|it| it.parse::<u16>().is_ok());
    let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    (port_is_fine && !name.is_empty() && name.bytes().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_turned_are_allowed() {
        let hosts = Hosts::new(&["api.example.com".to_owned()], &[]);
        for host in [
            "localhost",
            "LocalHost:8080",
            "app.localhost",
            "127.0.0.1:1",
            "10.0.0.7",
            "[::1]:8080",
            "[2001:db8::1]",
            "api.example.com",
            "API.example.com.:443",
        ] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "api.example.com@evil.example",
            "localhost:x",
            "localhost:1:2",
            "localhost/",
            "local host",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
        assert!(Hosts::new(&["*".to_owned()], &[]).allows("any.example"));
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_configured() {
        let hosts = Hosts::new(&[], &["https://console.example.com".to_owned()]);
        assert!(hosts.allows_origin("http://localhost:8080", "localhost:8080"));
        assert!(!hosts.allows_origin("http://localhost:3000", "localhost:8080"));
        assert!(!hosts.allows_origin("null", "localhost:8080"));
        assert!(hosts.allows_origin("https://console.example.com", "localhost:8080"));
        assert!(!hosts.is_configured("http://localhost:8080"));
    }
}
