//! A login in the store, opened and sealed again.

use super::{Account, Logins, NoToken};
use async_trait::async_trait;
use domain::Timestamp;
use domain::ports::logins::{LoginOf, SealedLogin};
use domain::ports::store::StoreError;
use oauth2::TokenResponse;
use rmcp::transport::auth::{AuthError, CredentialStore, StoredCredentials};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// What is sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub credentials: StoredCredentials,
    /// Given by the authorization server that registered the client, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
}

impl Kept {
    pub fn token(&self) -> Option<&str> {
        let token = self.credentials.token_response.as_ref()?;
        Some(token.access_token().secret().as_str())
    }

    pub fn can_be_renewed(&self) -> bool {
        let token = self.credentials.token_response.as_ref();
        token.is_some_and(|token| token.refresh_token().is_some())
    }

    /// When the access token runs out; `None` if the authorization server did not say.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let lifetime = self.credentials.token_response.as_ref()?.expires_in()?;
        let received = self.credentials.token_received_at?;
        let micros = i64::try_from(Duration::from_secs(received).as_micros()).ok()?;
        Some(Timestamp::from_micros(micros).plus(lifetime))
    }

    /// Whether it can be sent now. Renewed a little before its end, so that it does not run out on its way; one of short
    /// life at half of it.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        const EARLY: Duration = Duration::from_secs(30);
        let token = self.credentials.token_response.as_ref();
        let Some(lifetime) = token.and_then(TokenResponse::expires_in) else {
            return true;
        };
        let early = EARLY.min(lifetime / 2);
        self.expires_at().is_none_or(|end| now.plus(early) < end)
    }
}

/// How things stand with a login, without a word of what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginState {
    None,
    /// There, but sealed with another key.
    Sealed,
    In {
        since: Timestamp,
        /// When a person has to log in again, if that is known: tokens that can be renewed have no such time.
        until: Option<Timestamp>,
        scopes: Vec<String>,
    },
}

/// # Errors
/// Those of the store.
pub async fn login_state(logins: &Logins, of: &LoginOf) -> Result<LoginState, StoreError> {
    let Some(found) = logins.store.system_find_login(of).await? else {
        return Ok(LoginState::None);
    };
    Ok(match open(logins, of, &found) {
        None => LoginState::Sealed,
        Some(kept) => LoginState::In {
            since: found.changed_at,
            until: kept.expires_at().filter(|_| !kept.can_be_renewed()),
            scopes: kept.credentials.granted_scopes,
        },
    })
}

fn open(logins: &Logins, of: &LoginOf, found: &SealedLogin) -> Option<Kept> {
    let text = logins.key.open(of, &found.sealed).ok()?;
    serde_json::from_str(&text).ok()
}

impl Account {
    /// The login as it is in the store now.
    pub(super) async fn kept(&self) -> Result<Kept, NoToken> {
        let found = self.logins.store.system_find_login(&self.of).await;
        let found = found.map_err(|error| {
            tracing::warn!(mcp.server = %self.of.server, error = &error as &dyn std::error::Error, "a login could not be read");
            NoToken::NotNow("the login could not be read from the store".to_owned())
        })?;
        let found = found.ok_or_else(|| self.logged_out("nobody is logged in"))?;
        open(&self.logins, &self.of, &found).ok_or_else(|| {
            self.logged_out(
                "the login was sealed with another key than this server's (RUNYARD_SECRET_KEY)",
            )
        })
    }

    pub(super) fn logged_out(&self, why: &'static str) -> NoToken {
        NoToken::LoggedOut {
            why,
            command: self.command(),
        }
    }
}

/// Where rmcp reads and leaves credentials.
pub(super) struct Vault {
    pub account: Account,
    pub client_secret: Option<String>,
    /// Whoever renews a login holds it; a new login has no holder.
    pub holder: Option<Uuid>,
}

/// Tries of a write that must not be lost: the old refresh token may be worth nothing any more.
const TRIES: u32 = 6;

impl Vault {
    async fn put(&self, login: &SealedLogin) -> Result<bool, StoreError> {
        let (store, of) = (&self.account.logins.store, &self.account.of);
        match self.holder {
            Some(holder) => store.system_renew_login(of, holder, login).await,
            None => store.system_put_login(of, login).await.map(|()| true),
        }
    }
}

#[async_trait]
impl CredentialStore for Vault {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        match self.account.kept().await {
            Ok(kept) => Ok(Some(kept.credentials)),
            Err(NoToken::LoggedOut { .. }) => Ok(None),
            Err(NoToken::NotNow(why)) => Err(AuthError::CredentialStoreError(why)),
        }
    }

    async fn save(&self, credentials: StoredCredentials) -> Result<(), AuthError> {
        let failed = |why: &str| AuthError::CredentialStoreError(why.to_owned());
        let kept = Kept {
            credentials,
            client_secret: self.client_secret.clone(),
        };
        let text = serde_json::to_string(&kept).map_err(|_| failed("it is no JSON"))?;
        let sealed = self.account.logins.key.seal(&self.account.of, &text);
        let sealed = sealed.ok_or_else(|| failed("the system has no randomness"))?;
        let login = SealedLogin {
            sealed,
            changed_at: self.account.clock.now(),
        };
        let mut pause = Duration::from_millis(50);
        for _ in 1..TRIES {
            match self.put(&login).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(failed("somebody has logged in or out meanwhile")),
                Err(error) => {
                    tracing::warn!(mcp.server = %self.account.of.server, error = &error as &dyn std::error::Error, "a login could not be written; trying again")
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 3;
        }
        match self.put(&login).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed("somebody has logged in or out meanwhile")),
            Err(error) => Err(failed(&error.to_string())),
        }
    }

    async fn clear(&self) -> Result<(), AuthError> {
        let (store, of) = (&self.account.logins.store, &self.account.of);
        let cleared = store.system_delete_login(of).await;
        cleared
            .map(drop)
            .map_err(|error| AuthError::CredentialStoreError(error.to_string()))
    }
}
