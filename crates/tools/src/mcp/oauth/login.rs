//! A person's login: a page to open in a browser, and what the browser brings back.

use super::Account;
use super::http::Guarded;
use super::vault::Vault;
use rmcp::transport::auth::{
    AuthError, AuthorizationCallback, AuthorizationManager, OAuthClientConfig,
};
use secrecy::ExposeSecret;
use std::sync::Arc;
use url::Url;

/// What the person is shown as the asking program.
const CLIENT_NAME: &str = "Runyard";

/// A login that has begun. What it is made from (state, code verifier) is in this value alone.
pub struct Login {
    manager: AuthorizationManager,
    page: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("the server offers no OAuth: it names no authorization server")]
    NotOffered,
    #[error(
        "the authorization server registers no clients by itself; set `client_id` of one that you registered there"
    )]
    NotRegistered(#[source] AuthError),
    #[error("the authorization server cannot be used")]
    Unusable(#[source] AuthError),
    /// What the authorization server says of it, in its protocol's words.
    #[error("the login was refused: {0}")]
    Refused(String),
    #[error("this is not the answer to the login that was begun here")]
    Strange(#[source] AuthError),
    #[error("the authorization server gave no token")]
    NoToken(#[source] AuthError),
}

impl Login {
    /// Finds the authorization server, registers there if that is needed, and makes the page's address. `redirect` is where the browser
    /// is sent afterwards.
    pub async fn begin(account: &Account, redirect: &str) -> Result<Self, LoginError> {
        let client = Arc::new(Guarded(account.egress.clone()));
        let url = account.url.clone();
        let manager = AuthorizationManager::new_with_oauth_http_client(url, client).await;
        let mut manager = manager.map_err(LoginError::Unusable)?;
        let found = manager
            .resolve_metadata()
            .await
            .map_err(LoginError::Unusable)?;
        if !found.source.is_discovered() {
            return Err(LoginError::NotOffered);
        }
        manager.set_metadata(found.metadata);
        let scopes = if account.scopes.is_empty() {
            manager.select_initial_scopes(&[]).await
        } else {
            account.scopes.clone()
        };
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let mut client_secret = None;
        match &account.client_id {
            Some(id) => {
                let mut client = OAuthClientConfig::new(id, redirect);
                if let Some(secret) = &account.client_secret {
                    client = client.with_client_secret(secret.expose_secret());
                }
                manager
                    .configure_client(client)
                    .map_err(LoginError::Unusable)?;
            }
            None => {
                let registered = manager
                    .register_client(CLIENT_NAME, redirect, &scopes)
                    .await;
                client_secret = registered.map_err(LoginError::NotRegistered)?.client_secret;
            }
        }
        manager.set_credential_store(Vault {
            account: account.clone(),
            client_secret,
            holder: None,
        });
        let page = manager.get_authorization_url(&scopes).await;
        let page = page.map_err(LoginError::Unusable)?;
        Ok(Self { manager, page })
    }

    /// The address to open in a browser.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Takes the address that the browser was sent to; then the login is kept.
    pub async fn finish(&self, came_back: &str) -> Result<(), LoginError> {
        if let Some(error) = refusal(came_back) {
            return Err(LoginError::Refused(error));
        }
        let answer = AuthorizationCallback::from_redirect_url(came_back);
        let answer = answer.map_err(LoginError::Strange)?;
        let exchanged = self
            .manager
            .exchange_code_for_token_with_issuer(
                &answer.code,
                &answer.csrf_token,
                answer.issuer.as_deref(),
            )
            .await;
        match exchanged {
            Ok(_) => Ok(()),
            // Its state is not one that was given out.
            Err(
                error @ (AuthError::InternalError(_)
                | AuthError::AuthorizationServerMismatch { .. }
                | AuthError::AuthorizationServerMissingIssuer { .. }),
            ) => Err(LoginError::Strange(error)),
            Err(error) => Err(LoginError::NoToken(error)),
        }
    }
}

/// RFC 6749, 4.1.2.1: an `error` code of visible ASCII.
fn refusal(came_back: &str) -> Option<String> {
    let url = Url::parse(came_back).ok()?;
    let (_, error) = url.query_pairs().find(|(name, _)| name == "error")?;
    Some(
        error
            .chars()
            .filter(char::is_ascii_graphic)
            .take(60)
            .collect(),
    )
}
