//! API keys of the org, for its owners.

use super::{Id, check_text};
use crate::app::App;
use crate::body;
use crate::caller::{Caller, Owns};
use crate::idempotency::{self, RepeatKey, Reply};
use crate::keys::{self, Secret};
use crate::problem::{Code, Problem};
use crate::wire::keys::{CreateKey, CreatedKey, Key, KeyList, RevokedKey};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::KeyId;
use domain::audit::{Actor, Deed, Entry};
use domain::key::{self, KeyDigest};
use std::time::Duration;

const NAME_CHARS_MAX: usize = 100;

/// A hundred years: more is a mistake, and would not fit a date.
const TTL_S_MAX: u64 = 100 * 365 * 86_400;

/// List API keys
///
/// The org's keys, revoked ones included; never a secret.
#[utoipa::path(
    get,
    path = "/api/v1/agents/keys",
    operation_id = "list_keys",
    tag = "keys",
    responses((status = 200, description = "The keys.", body = KeyList)),
    extensions(("x-role" = json!("owner")))
)]
pub async fn list_keys(
    caller: Caller<Owns>,
    State(app): State<App>,
) -> Result<Json<KeyList>, Problem> {
    let keys = app.store.list_keys(&caller.scope).await?;
    Ok(Json(KeyList {
        keys: keys.iter().filter_map(Key::of).collect(),
    }))
}

/// Create an API key
///
/// Its secret is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/api/v1/agents/keys",
    operation_id = "create_key",
    tag = "keys",
    request_body = CreateKey,
    responses((status = 200, description = "The key with its secret.", body = CreatedKey)),
    extensions(("x-role" = json!("owner")))
)]
pub async fn create_key(
    caller: Caller<Owns>,
    State(app): State<App>,
    repeat: RepeatKey,
    body: body::Json<CreateKey>,
) -> Result<Response, Problem> {
    let idempotency = repeat.of("create_key", &body.bytes);
    let (key, secret) = new_key(&app, &caller, body.value)?;
    let create = async {
        let actor = Actor::Key(caller.principal());
        let entry = keys::created(&key, actor);
        app.store.create_key(&caller.scope, &key, &entry).await?;
        let shown = |secret: Option<String>| {
            let key = Key::of(&key).ok_or_else(|| Problem::new(Code::internal_error))?;
            Ok::<_, Problem>(CreatedKey { key, secret })
        };
        Ok(Reply::Without {
            shown: shown(Some(secret.expose().to_owned()))?,
            kept: shown(None)?,
        })
    };
    idempotency::once(&app, &caller.scope, idempotency, create).await
}

fn new_key(
    app: &App,
    caller: &Caller<Owns>,
    create: CreateKey,
) -> Result<(key::Key, Secret), Problem> {
    if create.name.trim().is_empty() {
        return Err(Problem::field("name", "must not be empty"));
    }
    check_text("name", Some(&create.name), NAME_CHARS_MAX)?;
    if create.ttl_s.is_some_and(|ttl| ttl == 0 || ttl > TTL_S_MAX) {
        let message = format!("must be between 1 and {TTL_S_MAX}");
        return Err(Problem::field("ttl_s", message));
    }
    let secret =
        Secret::generate().map_err(|error| Problem::new(Code::internal_error).because(error))?;
    let now = app.clock.now();
    let key = key::Key {
        org: caller.scope.org().clone(),
        id: KeyId::new(app.clock.uuid()),
        name: create.name,
        role: create.role.into(),
        digest: KeyDigest::of(secret.expose()),
        session: None,
        created_at: now,
        expires_at: create.ttl_s.map(|ttl| now.plus(Duration::from_secs(ttl))),
        revoked_at: None,
        last_used_at: None,
    };
    Ok((key, secret))
}

/// Revoke an API key
///
/// At once in this process, within seconds in every other; its open streams end. Revoking again changes nothing.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/keys/{key_id}",
    operation_id = "revoke_key",
    tag = "keys",
    params(("key_id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "It opens nothing any more.", body = RevokedKey)),
    extensions(("x-role" = json!("owner")))
)]
pub async fn revoke_key(
    caller: Caller<Owns>,
    State(app): State<App>,
    Id(id): Id<KeyId>,
) -> Result<Json<RevokedKey>, Problem> {
    let now = app.clock.now();
    let entry = Entry {
        at: now,
        actor: Actor::Key(caller.principal()),
        deed: Deed::KeyRevoked { key_id: id },
    };
    let store = &app.store;
    if !store.revoke_key(&caller.scope, id, now, &entry).await? {
        return Err(Problem::new(Code::not_found));
    }
    app.keys.revoked(caller.scope.org(), id);
    Ok(Json(RevokedKey {
        id: id.to_string(),
        revoked: true,
    }))
}
