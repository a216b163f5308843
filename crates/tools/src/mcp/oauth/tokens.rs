//! The token of one login: as it is in the store, renewed when it runs out or is refused, once however many ask for it.

use super::http::Guarded;
use super::vault::{Kept, Vault};
use super::{Account, NoToken};
use domain::ports::store::StoreError;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use rmcp::transport::auth::{AuthError, AuthorizationManager, CredentialStore, OAuthClientConfig};
use secrecy::ExposeSecret;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// For one renewal; longer than its requests and writes together may take.
const HOLD: Duration = Duration::from_secs(120);
/// How long a renewal by another server is waited for.
const PATIENCE: Duration = Duration::from_secs(45);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

type Renewal = Shared<BoxFuture<'static, Result<(), NoToken>>>;

pub(crate) struct Tokens {
    account: Account,
    /// The one that is under way, or the last.
    renewal: Mutex<Option<Renewal>>,
}

impl Tokens {
    pub(in crate::mcp) fn account(&self) -> &Account {
        &self.account
    }

    pub(in crate::mcp) fn new(account: Account) -> Self {
        Self {
            account,
            renewal: Mutex::default(),
        }
    }

    /// A token that can be sent now and is not the one that was refused.
    pub(in crate::mcp) async fn token(&self, refused: Option<&str>) -> Result<String, NoToken> {
        let kept = self.account.kept().await?;
        if let Some(token) = self.usable(&kept, refused) {
            return Ok(token);
        }
        if !kept.can_be_renewed() {
            return Err(self.account.logged_out("the login has run out"));
        }
        self.renewed(kept.token().unwrap_or_default().to_owned())
            .await?;
        let kept = self.account.kept().await?;
        self.usable(&kept, refused).ok_or_else(|| {
            self.account
                .logged_out("the server does not accept the login")
        })
    }

    /// What only a person's login mends; `None` while there is a token, or one can be had without a person.
    pub(in crate::mcp) async fn logged_out(&self) -> Option<String> {
        let out = match self.account.kept().await {
            Ok(kept) if kept.can_be_renewed() || self.usable(&kept, None).is_some() => return None,
            Ok(_) => self.account.logged_out("the login has run out"),
            Err(out @ NoToken::LoggedOut { .. }) => out,
            Err(NoToken::NotNow(_)) => return None,
        };
        Some(out.to_string())
    }

    fn usable(&self, kept: &Kept, refused: Option<&str>) -> Option<String> {
        let token = kept.token().filter(|token| refused != Some(token))?;
        kept.is_fresh(self.account.clock.now())
            .then(|| token.to_owned())
    }

    /// Joins the renewal that is under way, or begins one. It goes on also where whoever asked for it does not wait.
    async fn renewed(&self, stale: String) -> Result<(), NoToken> {
        let renewal = {
            let mut last = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
            match last.as_ref().filter(|renewal| renewal.peek().is_none()) {
                Some(renewal) => renewal.clone(),
                None => {
                    let work = tokio::spawn(renew(self.account.clone(), stale));
                    let renewal = async move { work.await.unwrap_or_else(|_| Err(not_now())) };
                    last.insert(renewal.boxed().shared()).clone()
                }
            }
        };
        renewal.await
    }
}

fn not_now() -> NoToken {
    NoToken::NotNow("the login could not be renewed just now".to_owned())
}

fn unstored(error: &StoreError) -> NoToken {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "a login could not be held for its renewal");
    not_now()
}

/// Uses the refresh token, unless somebody else has done so since `stale` was read.
async fn renew(account: Account, stale: String) -> Result<(), NoToken> {
    let holder = account.clock.uuid();
    let begun = Instant::now();
    loop {
        let held = account
            .logins
            .store
            .system_hold_login(&account.of, holder, HOLD)
            .await;
        if held.map_err(|error| unstored(&error))? {
            break;
        }
        // Another server is at it, or the login is gone.
        if account.kept().await?.token() != Some(stale.as_str()) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(not_now());
        }
        tokio::time::sleep(LOOK).await;
    }
    let renewed = renew_held(&account, holder, &stale).await;
    if let Err(error) = account
        .logins
        .store
        .system_release_login(&account.of, holder)
        .await
    {
        tracing::warn!(mcp.server = %account.of.server, error = &error as &dyn std::error::Error, "a login could not be let go; others wait for the end of its hold");
    }
    renewed
}

async fn renew_held(account: &Account, holder: Uuid, stale: &str) -> Result<(), NoToken> {
    let kept = account.kept().await?;
    if kept.token() != Some(stale) {
        return Ok(());
    }
    let manager = manager(account, &kept, holder).await?;
    match manager.refresh_token().await {
        Ok(_) => {
            tracing::info!(mcp.server = %account.of.server, "a login was renewed");
            Ok(())
        }
        Err(AuthError::AuthorizationRequired | AuthError::TokenRefreshRejected(_)) => {
            // It is not tried again: it would be refused again.
            let mut spent = kept.credentials.clone();
            spent.token_response = None;
            let vault = vault(account, &kept, holder);
            if let Err(error) = vault.save(spent).await {
                tracing::warn!(mcp.server = %account.of.server, %error, "that a login is spent could not be written");
            }
            Err(account.logged_out("the authorization server does not renew the login any more"))
        }
        Err(AuthError::CredentialStoreError(why)) => {
            tracing::warn!(mcp.server = %account.of.server, "a renewed login could not be kept: {why}");
            Err(not_now())
        }
        Err(_) => {
            tracing::warn!(mcp.server = %account.of.server, "the authorization server did not renew a login; it will be asked again");
            Err(not_now())
        }
    }
}

fn vault(account: &Account, kept: &Kept, holder: Uuid) -> Vault {
    Vault {
        account: account.clone(),
        client_secret: kept.client_secret.clone(),
        holder: Some(holder),
    }
}

/// Made anew for each renewal: where to renew is asked again, and a new login may be another client's.
async fn manager(
    account: &Account,
    kept: &Kept,
    holder: Uuid,
) -> Result<AuthorizationManager, NoToken> {
    let unreachable = || {
        NoToken::NotNow(
            "the login has run out, and its authorization server cannot be reached".to_owned(),
        )
    };
    let client = Arc::new(Guarded(account.egress.clone()));
    let manager =
        AuthorizationManager::new_with_oauth_http_client(account.url.clone(), client).await;
    let mut manager = manager.map_err(|_| unreachable())?;
    manager.set_credential_store(vault(account, kept, holder));
    if !manager
        .initialize_from_store()
        .await
        .map_err(|_| unreachable())?
    {
        return Err(account.logged_out("the server has another authorization server now"));
    }
    let configured = account
        .client_secret
        .as_ref()
        .map(|secret| secret.expose_secret().to_owned());
    if let Some(secret) = configured.or_else(|| kept.client_secret.clone()) {
        let client = OAuthClientConfig::new(&kept.credentials.client_id, account.url.as_str());
        manager
            .configure_client(client.with_client_secret(secret))
            .map_err(|_| unreachable())?;
    }
    Ok(manager)
}
