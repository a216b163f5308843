//! The only way out: decides which addresses a tool may connect to and makes clients that connect to nothing else.
//! It does not know what is sent there.
//!
//! A host name is resolved once, every address it resolves to is checked, and the connection is made to an address
//! that was checked; so a name cannot show a public address to the check and a private one to the connection.

mod address;

pub use address::PatternError;

use crate::config::EgressConfig;
use crate::error::ConfigError;
use crate::limits;
use address::Allowed;
use domain::seeded::Seeded;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, redirect, retry};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::{Host, Url};

/// The rules do not allow a connection. Says no address: what a name resolves to inside is nobody's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the scheme `{scheme}` is not allowed; only http and https are")]
    Scheme { scheme: String },
    #[error("a URL may not hold a user name or password")]
    UserInfo,
    #[error("the URL has no host")]
    NoHost,
    #[error("the host is not on the list of allowed hosts")]
    NotListed,
    #[error("the host is at an address that is not public and not allowed")]
    Address,
    #[error("the host has no address")]
    NoAddress,
}

/// Resolves host names. `System` is the machine's own; tests bring one that lies.
pub trait Lookup: Send + Sync {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system.
pub struct System;

impl Lookup for System {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// Whether connections are kept for the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reuse {
    Keep,
    /// For calls that may not be repeated: a kept connection that the other side is closing would leave it unknown
    /// whether the request arrived.
    Never,
}

/// The rules for going out, and clients that keep to them.
pub struct Egress {
    rules: Arc<Rules>,
    clients: Mutex<HashMap<(u16, Reuse), Client>>,
}

struct Rules {
    allowed: Allowed,
    lookup: Arc<dyn Lookup>,
}

/// Clients kept; there are as many as ports in the configuration, times two.
const CLIENTS_MAX: usize = 64;

impl Egress {
    pub fn new(config: &EgressConfig) -> Result<Self, ConfigError> {
        Self::with_lookup(config, Arc::new(System))
    }

    pub fn with_lookup(
        config: &EgressConfig,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, ConfigError> {
        let allowed = Allowed::new(config)?;
        Ok(Self {
            rules: Arc::new(Rules { allowed, lookup }),
            clients: Mutex::new(HashMap::new()),
        })
    }

    /// The rules, and beyond them the one place that the operator wrote down: its host, and its address where that is no
    /// name. A name is still not allowed to lead to a private address.
    pub fn declared(
        config: &EgressConfig,
        url: &Url,
        lookup: &Arc<dyn Lookup>,
    ) -> Result<Self, ConfigError> {
        let mut config = config.clone();
        let port = url.port_or_known_default().unwrap_or(443);
        if let Some(host) = url.host_str()
            && !config.allow_hosts.is_empty()
        {
            let host = host.trim_matches(['[', ']']);
            config.allow_hosts.push(host.to_owned());
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => config.allow_private.push(format!("{ip}:{port}")),
            Some(Host::Ipv6(ip)) => config.allow_private.push(format!("[{ip}]:{port}")),
            Some(Host::Domain("localhost")) => {
                config.allow_private.push(format!("127.0.0.1:{port}"));
                config.allow_private.push(format!("[::1]:{port}"));
            }
            Some(Host::Domain(_)) | None => {}
        }
        Self::with_lookup(&config, Arc::clone(lookup))
    }

    /// Checks everything that can be seen without resolving the host's name. Returns the port. Call it for every URL:
    /// a client does not resolve a host that is an address, so this is where those are checked.
    pub fn check(&self, url: &Url) -> Result<u16, Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        let port = url.port_or_known_default().ok_or(Refused::NoHost)?;
        let (host, address) = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => (name.to_owned(), None),
            Some(Host::Ipv4(ip)) => (ip.to_string(), Some(IpAddr::V4(ip))),
            Some(Host::Ipv6(ip)) => (ip.to_string(), Some(IpAddr::V6(ip))),
            Some(Host::Domain(_)) | None => return Err(Refused::NoHost),
        };
        if !self.rules.allowed.host(&host) {
            return Err(Refused::NotListed);
        }
        match address {
            Some(ip) if !self.rules.allowed.address(ip, port) => Err(Refused::Address),
            Some(_) | None => Ok(port),
        }
    }

    /// A client for URLs of this port that passed `check`. It follows no redirect, uses no proxy, retries nothing,
    /// unpacks nothing and resolves names by these rules.
    pub fn client(&self, port: u16, reuse: Reuse) -> Result<Client, reqwest::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(port, reuse)) {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .user_agent(concat!("runyard/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guarded {
                rules: Arc::clone(&self.rules),
                port,
            })
            .no_proxy()
            .redirect(match Seeded::RedirectUnchecked.is_on() {
                true => redirect::Policy::default(),
                false => redirect::Policy::none(),
            })
            .retry(retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .tcp_nodelay(true)
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(match reuse {
                Reuse::Keep => 32,
                Reuse::Never => 0,
            })
            .build()?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert((port, reuse), client.clone());
        Ok(client)
    }
}

/// The refusal inside an error of a client, if that is what it is.
pub fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refused> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        at = error.source();
    }
    None
}

/// A client's resolver: hands out checked addresses or none.
struct Guarded {
    rules: Arc<Rules>,
    port: u16,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.rules);
        let port = self.port;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            if !rules.allowed.host(&host) {
                return Err(Refused::NotListed.into());
            }
            let found = rules.lookup.lookup(host).await?;
            if found.is_empty() {
                return Err(Refused::NoAddress.into());
            }
            // One address that is not allowed condemns the name: a mixed answer is what an attack looks like.
            let passes = |ip: &IpAddr| rules.allowed.address(*ip, port);
            let one_is_enough = Seeded::OneGoodAddress.is_on() && found.iter().any(passes);
            if !found.iter().all(passes) && !one_is_enough {
                return Err(Refused::Address.into());
            }
            let addresses = found.into_iter().map(move |ip| SocketAddr::new(ip, port));
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
