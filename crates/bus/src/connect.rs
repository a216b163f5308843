//! Connecting to NATS, and what may stand in the way.

use crate::NatsBus;
use crate::subjects::Subjects;
use async_nats::{ConnectOptions, Event, ServerAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Where the bus is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `nats://` or `tls://`, one or several separated by commas. User and password, or a token, may stand in it.
    pub url: String,
    /// Under which subjects this installation talks: two on one NATS must differ.
    pub prefix: String,
    /// Contents of a `.creds` file (JWT and seed), where the account asks for one.
    pub credentials: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("not an address of NATS")]
    Address(#[source] std::io::Error),
    /// Prefixes are one or more of `A-Z a-z 0-9 - _`, joined by dots.
    #[error("not a prefix of subjects: {0:?}")]
    Prefix(String),
    #[error("the credentials cannot be used")]
    Credentials(#[source] std::io::Error),
    #[error("NATS cannot be reached")]
    Connect(#[source] async_nats::ConnectError),
}

/// What to do when nobody answers at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Go on without it and connect when it is there.
    Later,
    /// Fail, to be told of it.
    Now,
}

/// The longest pause between two attempts to connect again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Connects. The bus stays usable whatever happens to the connection: it comes back by itself.
pub async fn connect(settings: &Settings, patience: Patience) -> Result<Arc<NatsBus>, BusError> {
    let addresses = settings
        .url
        .split(',')
        .map(|address| ServerAddr::from_str(address.trim()))
        .collect::<Result<Vec<ServerAddr>, _>>()
        .map_err(BusError::Address)?;
    if !is_prefix(&settings.prefix) {
        return Err(BusError::Prefix(settings.prefix.clone()));
    }
    let mut options = match &settings.credentials {
        Some(text) => ConnectOptions::with_credentials(text).map_err(BusError::Credentials)?,
        None => ConnectOptions::new(),
    };
    let subjects = Subjects::new(&settings.prefix);
    options = options
        .name("runyard")
        .custom_inbox_prefix(subjects.replies())
        .no_echo()
        .connection_timeout(Duration::from_secs(5))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| {
            let doubled = Duration::from_millis(50 << attempts.min(6));
            doubled.min(PAUSE_MAX)
        })
        .event_callback(|event| async move { log(&event) });
    if patience == Patience::Later {
        options = options.retry_on_initial_connect();
    }
    let client = options
        .connect(addresses)
        .await
        .map_err(BusError::Connect)?;
    Ok(Arc::new(NatsBus { client, subjects }))
}

fn is_prefix(text: &str) -> bool {
    let is_token = |token: &str| {
        !token.is_empty()
            && token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 100 && text.split('.').all(is_token)
}

fn log(event: &Event) {
    match event {
        Event::Connected => tracing::info!("NATS is connected"),
        Event::Disconnected => {
            tracing::warn!(
                "NATS is gone; servers find each other's work in the database until it is back"
            );
        }
        Event::SlowConsumer(_) => {
            tracing::debug!("messages came faster than they were read; some were dropped")
        }
        other => tracing::info!(event = %other, "news of the connection to NATS"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_prefix;

    #[test]
    fn prefixes_cannot_widen_a_subscription() {
        for good in ["runyard", "runyard.eu-west_1"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["", "a.", ".a", "a..b", "a.*", ">", "a b", "a\n"] {
            assert!(!is_prefix(bad), "{bad:?}");
        }
    }
}
