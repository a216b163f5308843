//! A session's tokens: issued for its client, renewed and revoked by those who may make sessions.

use crate::api::Id;
use crate::app::App;
use crate::body;
use crate::caller::{Caller, Works};
use crate::idempotency::{self, RepeatKey, Reply};
use crate::keys::Secret;
use crate::problem::{Code, Problem};
use crate::wire::sessions::{CreateSessionToken, RevokedSessionTokens, SessionToken};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::key::{Key, KeyDigest, Role};
use domain::run::{Run, RunKind};
use domain::{KeyId, OrgScope, RunId, Timestamp};
use std::time::Duration;

/// The longest that a token lives while its session does.
const TTL_MAX: Duration = Duration::from_secs(3_600);

/// A token of a session that ends sooner outlives it, so that a late call is told that the session is over, not that its
/// key is unknown.
const GRACE: Duration = Duration::from_secs(3_600);

/// A new token, its secret not stored anywhere.
pub struct Issued {
    pub id: KeyId,
    pub secret: Secret,
    pub expires_at: Timestamp,
}

/// How long a token shall live, if the request says so.
pub fn ttl(field: &str, seconds: Option<u64>) -> Result<Option<Duration>, Problem> {
    let most = TTL_MAX.as_secs();
    match seconds {
        Some(seconds) if seconds == 0 || seconds > most => {
            Err(Problem::field(field, format!("must be 1 to {most}")))
        }
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

/// Issues a key that opens this one session, so that a phone or a page never holds the org's.
pub async fn issue(
    app: &App,
    scope: &OrgScope,
    run: &Run,
    ttl: Option<Duration>,
) -> Result<Issued, Problem> {
    let secret =
        Secret::generate().map_err(|error| Problem::new(Code::internal_error).because(error))?;
    let RunKind::Session { expires_at, .. } = &run.kind else {
        return Err(Problem::new(Code::internal_error));
    };
    let now = app.clock.now();
    let longest = now.plus(TTL_MAX);
    let expires_at = match ttl {
        Some(ttl) => now.plus(ttl),
        None if *expires_at <= longest => expires_at.plus(GRACE),
        None => longest,
    };
    let key = Key {
        org: scope.org().clone(),
        id: KeyId::new(app.clock.uuid()),
        name: format!("session {}", run.id),
        role: Role::Session,
        digest: KeyDigest::of(secret.expose()),
        session: Some(run.id),
        created_at: now,
        expires_at: Some(expires_at),
        revoked_at: None,
        last_used_at: None,
    };
    app.store.insert_key(scope, &key).await?;
    Ok(Issued {
        id: key.id,
        secret,
        expires_at,
    })
}

/// Issue another token
///
/// For a client whose token is about to expire or was lost. Earlier tokens live on until their own end, so that a client
/// can change over between two calls; `DELETE` ends them at once.
#[utoipa::path(
    post,
    path = "/api/v1/agents/sessions/{session_id}/token",
    operation_id = "create_session_token",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    request_body = Option<CreateSessionToken>,
    responses(
        (status = 200, description = "The token with its secret.", body = SessionToken),
        (status = 409, description = "`run_already_terminal`: the session is over.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("developer")))
)]
pub async fn create_session_token(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    repeat: RepeatKey,
    body: body::OptionalJson<CreateSessionToken>,
) -> Result<Response, Problem> {
    let key = repeat.of(&format!("create_session_token {id}"), &body.bytes);
    let ttl = ttl("ttl_s", body.value.ttl_s)?;
    let create = async {
        let run = app.engine.open_session(&caller.scope, id).await?;
        let issued = issue(&app, &caller.scope, &run, ttl).await?;
        let shown = |secret: Option<String>| SessionToken {
            session_id: id.to_string(),
            token_id: issued.id.to_string(),
            session_token: secret,
            expires_at: issued.expires_at.to_string(),
        };
        Ok(Reply::Without {
            shown: shown(Some(issued.secret.expose().to_owned())),
            kept: shown(None),
        })
    };
    idempotency::once(&app, &caller.scope, key, create).await
}

/// Revoke a session's tokens
///
/// At once in this process, within seconds in every other; streams that were opened with them end. The session goes on:
/// another token can be issued for it. One token alone is revoked as a key, by its `token_id`.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/sessions/{session_id}/token",
    operation_id = "revoke_session_token",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    responses((status = 200, description = "They open nothing any more.", body = RevokedSessionTokens)),
    extensions(("x-role" = json!("developer")))
)]
pub async fn revoke_session_token(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(id): Id<RunId>,
) -> Result<Json<RevokedSessionTokens>, Problem> {
    let run = app.engine.session(&caller.scope, id).await?;
    let now = app.clock.now();
    let revoked = app
        .store
        .revoke_session_keys(&caller.scope, run.id, now)
        .await?;
    for token in &revoked {
        app.keys.revoked(caller.scope.org(), *token);
    }
    Ok(Json(RevokedSessionTokens {
        session_id: id.to_string(),
        revoked: revoked.len(),
    }))
}
