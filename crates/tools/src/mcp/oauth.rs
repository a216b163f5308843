//! OAuth at servers over HTTP, as the protocol's authorization chapter has it: a person logs in once in a browser, the tokens
//! are kept sealed, and every request carries the one of its server and org. A token goes to the server that it was issued
//! for and nowhere else.
//!
//! The discovery of authorization servers, the checks of their metadata and the requests to them are rmcp's.

mod client;
mod http;
mod login;
mod seal;
mod tokens;
mod vault;

pub(super) use client::Authorized;
pub use login::{Login, LoginError};
pub use seal::SealKey;
pub(super) use tokens::Tokens;
pub use vault::{LoginState, login_state};

use crate::config::Setting;
use crate::egress::Egress;
use domain::ports::clock::Clock;
use domain::ports::logins::{LoginOf, LoginStore};
use secrecy::SecretString;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// `[mcp.NAME.oauth]`; empty where the authorization server registers clients by itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OauthConfig {
    /// Of a client that was registered by hand.
    pub client_id: Option<String>,
    pub client_secret: Option<Setting>,
    /// What to ask for, instead of what the server says that it needs.
    pub scopes: Vec<String>,
}

/// What logins are kept with.
#[derive(Clone)]
pub struct Logins {
    pub store: Arc<dyn LoginStore>,
    pub key: SealKey,
}

/// One login and everything that it takes to use it.
#[derive(Clone)]
pub struct Account {
    pub of: LoginOf,
    pub(super) url: Url,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<SecretString>,
    pub(super) scopes: Vec<String>,
    pub(super) egress: Arc<Egress>,
    pub(super) logins: Logins,
    pub(super) clock: Arc<dyn Clock>,
}

impl Account {
    pub fn logins(&self) -> &Logins {
        &self.logins
    }

    /// The command that mends a login.
    fn command(&self) -> String {
        match &self.of.org {
            Some(org) => format!("runyard mcp login {} --org {org}", self.of.server),
            None => format!("runyard mcp login {}", self.of.server),
        }
    }
}

/// There is no token to send. Says what to do, and nothing that another server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoToken {
    /// Nobody is logged in, or a person has to do it again.
    LoggedOut { why: &'static str, command: String },
    /// It may be had later.
    NotNow(String),
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoggedOut { why, command } => write!(f, "{why}; log in with `{command}`"),
            Self::NotNow(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NoToken {}
