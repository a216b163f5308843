//! The HTTP clients: one for each connect time-out, which is a client's and not a request's, so nearly always one in all.
//! The other two time-outs are kept where the stream is read.

use crate::config::ConfigError;
use reqwest::redirect;
use std::collections::HashMap;
use std::time::Duration;
use url::Url;

pub(crate) const USER_AGENT: &str = concat!("runyard/", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Default)]
pub(crate) struct Clients(HashMap<(Duration, Trust), reqwest::Client>);

/// Whose word a client takes for who a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trust {
    /// The system's certificates; reading them takes tens of milliseconds.
    System,
    /// Nobody's: for plain HTTP, which a machine without any certificates can speak too.
    Nobody,
}

impl Clients {
    /// A client for servers under this address.
    pub(crate) fn client(
        &mut self,
        base: &Url,
        connect: Duration,
    ) -> Result<reqwest::Client, ConfigError> {
        let trust = if base.scheme() == "http" {
            Trust::Nobody
        } else {
            Trust::System
        };
        if let Some(client) = self.0.get(&(connect, trust)) {
            return Ok(client.clone());
        }
        let client = match trust {
            Trust::System => reqwest::Client::builder(),
            Trust::Nobody => reqwest::Client::builder().tls_certs_only([]),
        };
        let client = client
            .connect_timeout(connect)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_adaptive_window(true)
            // A proxy that happens to stand in the environment would see every prompt.
            .no_proxy()
            // A redirect would carry the key to another address.
            .redirect(redirect::Policy::none())
            // The router alone repeats requests.
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(USER_AGENT)
            .build()
            .map_err(|_| ConfigError::Client)?;
        self.0.insert((connect, trust), client.clone());
        Ok(client)
    }
}
