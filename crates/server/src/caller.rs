//! Who is calling: an org, a key and its role, proven before anything else of a request is looked at. Handlers name what
//! they need in the type they take, so none of them can forget to ask.

mod failures;
mod rates;
mod ring;

pub use rates::Rates;
pub use ring::{KeyRing, Refusal, Revocation};

use crate::app::App;
use crate::problem::{Code, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use domain::OrgScope;
use domain::key::{Key, Principal, Role};
use domain::seeded::Seeded;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What an operation needs of its caller.
pub trait Need: Send + Sync + 'static {
    fn allows(role: Role) -> bool;
}

/// Looks at what the org has: every role but `session`.
pub struct Reads;

/// Decides approvals: `approver` and up.
pub struct Decides;

/// Makes threads and runs: `developer` and up.
pub struct Works;

/// Keys: `owner`.
pub struct Owns;

/// Works with one client-side session: `developer` and up, or the session's own token. The handler calls
/// `check_session` with the session that is asked for.
pub struct UsesSession;

impl Need for Reads {
    fn allows(role: Role) -> bool {
        match role {
            Role::Owner | Role::Developer | Role::Approver | Role::Viewer => true,
            Role::Session => false,
        }
    }
}

impl Need for Decides {
    fn allows(role: Role) -> bool {
        match role {
            Role::Owner | Role::Developer | Role::Approver => true,
            Role::Viewer | Role::Session => false,
        }
    }
}

impl Need for Works {
    fn allows(role: Role) -> bool {
        match role {
            Role::Owner | Role::Developer => true,
            Role::Approver | Role::Viewer | Role::Session => false,
        }
    }
}

impl Need for Owns {
    fn allows(role: Role) -> bool {
        match role {
            Role::Owner => true,
            Role::Developer | Role::Approver | Role::Viewer | Role::Session => false,
        }
    }
}

impl Need for UsesSession {
    fn allows(role: Role) -> bool {
        match role {
            Role::Owner | Role::Developer | Role::Session => true,
            Role::Approver | Role::Viewer => false,
        }
    }
}

impl Caller<UsesSession> {
    /// A token of another session sees this one as little as another org does.
    pub fn check_session(&self, session: domain::RunId) -> Result<(), Problem> {
        match self.key.role {
            Role::Session if Seeded::TokenOfAnySession.is_on() => Ok(()),
            Role::Session if self.key.session != Some(session) => {
                Err(Problem::new(Code::not_found))
            }
            Role::Owner | Role::Developer | Role::Approver | Role::Viewer | Role::Session => Ok(()),
        }
    }
}

/// A caller who may do what `N` stands for. The first argument of every handler under the base path.
pub struct Caller<N> {
    pub scope: OrgScope,
    pub key: Arc<Key>,
    app: App,
    need: PhantomData<N>,
}

/// The address at the other end of the connection, put there by the accept loop.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl<N> Caller<N> {
    /// As recorded with what the caller does.
    pub fn principal(&self) -> Principal {
        Principal {
            key_id: self.key.id,
            name: self.key.name.clone(),
            role: Some(self.key.role),
        }
    }

    /// Resolves within seconds of the key's revocation or expiry, in whichever process that was asked for.
    pub fn revoked(&self) -> Revocation {
        self.app.keys.watch(&self.key)
    }
}

impl<N: Need> FromRequestParts<App> for Caller<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let key = authenticate(parts, app).await?;
        if let Err(wait) = app.rates.admit(&key.org, Instant::now()) {
            return Err(Problem::new(Code::rate_limited).retry_after(wait));
        }
        if !N::allows(key.role) && !Seeded::RoleUnchecked.is_on() {
            let message = format!("An API key of role {} may not do this.", key.role.as_str());
            return Err(Problem::saying(Code::role_forbidden, message));
        }
        Ok(Self {
            scope: OrgScope::new(key.org.clone()),
            key,
            app: app.clone(),
            need: PhantomData,
        })
    }
}

/// The live key that the request shows.
pub async fn authenticate(parts: &Parts, app: &App) -> Result<Arc<Key>, Problem> {
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
    let Some(secret) = shown(&parts.headers) else {
        return Err(Problem::new(Code::missing_key));
    };
    match app.keys.find(secret, peer).await {
        Ok(key) => Ok(key),
        Err(Refusal::Unknown) => Err(Problem::new(Code::invalid_key)),
        Err(Refusal::TooManyFailures { wait }) => {
            Err(Problem::new(Code::too_many_failed_logins).retry_after(wait))
        }
        Err(Refusal::Store(error)) => Err(error.into()),
    }
}

/// The secret in `Authorization: Bearer` or `X-API-Key`. Two that differ are no key at all: which one counts would be
/// anybody's guess.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let mut shown = None;
    let bearers = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let (scheme, secret) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    let keys = headers
        .get_all(X_API_KEY)
        .iter()
        .map(|value| value.to_str().ok().map(str::trim));
    for secret in bearers.chain(keys) {
        let secret = secret.filter(|secret| !secret.is_empty())?;
        if shown.is_some_and(|other| other != secret) {
            return None;
        }
        shown = Some(secret);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_secret_is_read_from_either_header() {
        for (lines, secret) in [
            (&[("authorization", "Bearer abc")][..], Some("abc")),
            (&[("authorization", "bearer  abc ")], Some("abc")),
            (&[("x-api-key", "abc")], Some("abc")),
            (
                &[("authorization", "Bearer abc"), ("x-api-key", "abc")],
                Some("abc"),
            ),
            (
                &[("authorization", "Bearer abc"), ("x-api-key", "other")],
                None,
            ),
            (
                &[
                    ("authorization", "Bearer abc"),
                    ("authorization", "Bearer x"),
                ],
                None,
            ),
            (&[("authorization", "Basic abc")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("x-api-key", "")], None),
            (&[], None),
        ] {
            assert_eq!(shown(&headers(lines)), secret, "{lines:?}");
        }
    }
}
