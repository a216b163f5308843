//! The few parts of a service's URL that are needed to ask whether it answers.

use anyhow::{Context, bail};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a server on a test machine may take to accept or to say a word.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    pub user: Option<String>,
    pub has_password: bool,
    pub host: String,
    pub port: u16,
    pub database: Option<String>,
}

impl Address {
    /// Reads `scheme://[user[:password]@]host[:port][/database][?…]`; the port's default follows the
    /// scheme. Nothing is percent-decoded: the parts are only used to knock.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = url.split_once("://").context("the URL has no scheme")?;
        let usual_port = match scheme {
            "postgres" | "postgresql" => 5432,
            "nats" | "tls" => 4222,
            other => bail!("the URL's scheme is {other}"),
        };
        let rest = rest.split('?').next().unwrap_or_default();
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().context("the URL's port is no number")?)
            }
            _ => (place, usual_port),
        };
        if host.is_empty() {
            bail!("the URL names no host");
        }
        Ok(Self {
            user: login
                .and_then(|login| login.split(':').next())
                .map(str::to_owned),
            has_password: login.is_some_and(|login| login.contains(':')),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            database: Some(database)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        })
    }

    /// Connects, with a few seconds' patience for this and each later read and write.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    return Ok(stream);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    fn address(user: Option<&str>, host: &str, port: u16, database: Option<&str>) -> Address {
        Address {
            user: user.map(str::to_owned),
            has_password: false,
            host: host.to_owned(),
            port,
            database: database.map(str::to_owned),
        }
    }

    #[test]
    fn parts_of_a_url_are_found() {
        let parse = |url| Address::parse(url).unwrap();
        assert_eq!(
            parse("postgres://me@db.example:5433/test?sslmode=disable"),
            address(Some("me"), "db.example", 5433, Some("test"))
        );
        assert_eq!(
            parse("postgresql://me:se:cr@t@db/"),
            Address {
                has_password: true,
                ..address(Some("me"), "db", 5432, None)
            }
        );
        assert_eq!(parse("nats://[::1]"), address(None, "::1", 4222, None));
        assert_eq!(parse("nats://[::1]:99"), address(None, "::1", 99, None));
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "127.0.0.1:4222",
            "http://127.0.0.1",
            "nats://host:port",
            "postgres:///x",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }
}
