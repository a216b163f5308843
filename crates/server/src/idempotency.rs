//! Requests that may be sent twice: `Idempotency-Key`, per org and operation, kept for a day. Creations of threads and
//! runs carry it into their own transaction; the other operations are framed by it here.

use crate::app::App;
use crate::problem::{Code, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::crash::crash_point;
use domain::ports::store::{Idempotency, Seen, StoreError, StoreResult, StoredReply};
use domain::seeded::Seeded;
use domain::{OrgId, OrgScope, WorkerId};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use uuid::Uuid;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const CHARS_MAX: usize = 255;

/// The longest pause between two tries of a store that is not available.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The request's key, if it has one.
#[derive(Debug, Clone)]
pub struct RepeatKey {
    key: Option<String>,
    path: String,
}

impl FromRequestParts<App> for RepeatKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let invalid = || Problem::new(Code::invalid_idempotency_key);
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(_), Some(_)) => return Err(invalid()),
            (Some(value), None) => {
                let text = value.to_str().map_err(|_| invalid())?;
                if text.is_empty() || text.len() > CHARS_MAX || text.chars().any(char::is_control) {
                    return Err(invalid());
                }
                Some(text.to_owned())
            }
        };
        let path = parts.uri.path().trim_end_matches('/').to_owned();
        Ok(Self { key, path })
    }
}

impl RepeatKey {
    /// The key of this operation. The path is part of the digest: the same key for another thread is another request.
    pub fn of(&self, operation: &str, body: &[u8]) -> Option<Idempotency> {
        let key = self.key.clone()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.path.len() as u64).to_le_bytes());
        hasher.update(self.path.as_bytes());
        hasher.update(body);
        Some(Idempotency {
            route: operation.to_owned(),
            key,
            body_digest: *hasher.finalize().as_bytes(),
        })
    }
}

/// Why a request with a known key is not answered with the first answer.
pub fn refusal(seen: &Seen) -> Problem {
    match seen {
        Seen::OtherBody => Problem::new(Code::idempotency_key_reused),
        Seen::InProgress => {
            Problem::new(Code::idempotency_in_progress).retry_after(Duration::from_secs(1))
        }
        // What the first answer was about is gone, a deleted thread's run say: so is the answer.
        Seen::Answered(_) => Problem::new(Code::not_found),
    }
}

/// An answer, and what is kept of it for repetitions.
pub enum Reply<T> {
    Whole(T),
    /// It may be another the next time: the same request goes on from here.
    Unkept(T),
    /// Something of it is told only once.
    Without {
        shown: T,
        kept: T,
    },
}

impl<T> Reply<T> {
    fn shown(self) -> T {
        match self {
            Self::Whole(shown) | Self::Unkept(shown) | Self::Without { shown, .. } => shown,
        }
    }

    fn kept(&self) -> &T {
        match self {
            Self::Whole(kept) | Self::Unkept(kept) | Self::Without { kept, .. } => kept,
        }
    }
}

/// Does `work` once for each key and answers repetitions with what the first was answered. A failed attempt leaves
/// nothing behind: nothing was done, so the same key may be tried again. A request stands under this worker's lease: once
/// that is over, a repetition is carried out anew.
pub async fn once<T, W>(
    app: &App,
    scope: &OrgScope,
    key: Option<Idempotency>,
    work: W,
) -> Result<Response, Problem>
where
    T: Serialize,
    W: Future<Output = Result<Reply<T>, Problem>>,
{
    let Some(key) = key else {
        return Ok(axum::Json(work.await?.shown()).into_response());
    };
    let mut begun = match Begun::now(app, scope, key).await? {
        Ok(begun) => begun,
        Err(Seen::Answered(reply)) => return Ok(replay(reply)),
        Err(seen) => return Err(refusal(&seen)),
    };
    match work.await {
        Ok(reply @ Reply::Unkept(_)) => {
            begun.give_up().await;
            Ok(axum::Json(reply.shown()).into_response())
        }
        Ok(reply) => {
            let body = serde_json::to_vec(reply.kept())
                .map_err(|error| Problem::new(Code::internal_error).because(error))?;
            let stored = StoredReply {
                status: StatusCode::OK.as_u16(),
                body,
                resource: None,
            };
            crash_point("idempotency.before_commit");
            begun.finish(&stored).await?;
            crash_point("idempotency.after_commit");
            Ok(axum::Json(reply.shown()).into_response())
        }
        Err(problem) => {
            begun.give_up().await;
            Err(problem)
        }
    }
}

/// As `once` for what is streamed: `begin` makes what repetitions are told of as well, and is called for each of them.
pub async fn joined<T, B>(
    app: &App,
    scope: &OrgScope,
    key: Option<Idempotency>,
    resource: Uuid,
    begin: B,
) -> Result<T, Problem>
where
    B: Future<Output = Result<T, Problem>>,
{
    let Some(key) = key else {
        return begin.await;
    };
    let mut keyed = match Begun::now(app, scope, key).await? {
        Ok(keyed) => keyed,
        Err(Seen::Answered(_)) => return begin.await,
        Err(seen) => return Err(refusal(&seen)),
    };
    match begin.await {
        Ok(begun) => {
            let stored = StoredReply {
                status: StatusCode::OK.as_u16(),
                body: Vec::new(),
                resource: Some(resource),
            };
            keyed.finish(&stored).await?;
            Ok(begun)
        }
        Err(problem) => {
            keyed.give_up().await;
            Err(problem)
        }
    }
}

/// Keyed requests that this process is at. What the store holds for this worker beside them is left over from a request
/// whose beginning was written and never heard of.
#[derive(Default)]
pub struct AtWork(Mutex<HashSet<Key>>);

/// Org, operation and key.
type Key = (OrgId, String, String);

impl AtWork {
    /// `None` if a request with this key is under way here.
    fn enter(self: &Arc<Self>, scope: &OrgScope, key: &Idempotency) -> Option<Place> {
        let key = (scope.org().clone(), key.route.clone(), key.key.clone());
        let is_new = self.lock().insert(key.clone());
        is_new.then(|| Place {
            at_work: self.clone(),
            key,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Until this is dropped no other request with the key begins here.
struct Place {
    at_work: Arc<AtWork>,
    key: Key,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.at_work.lock().remove(&self.key);
    }
}

/// A request that this worker answers. As long as the worker lives nobody else takes it, so whatever becomes of it must be
/// written: also while the store is away, and also when the work panics.
struct Begun {
    app: App,
    scope: OrgScope,
    key: Idempotency,
    worker: WorkerId,
    /// Absent only in a value that is being dropped.
    place: Option<Place>,
    over: bool,
}

impl Begun {
    /// Begins the request under this worker's lease, unless the key has been seen.
    async fn now(
        app: &App,
        scope: &OrgScope,
        key: Idempotency,
    ) -> Result<Result<Self, Seen>, Problem> {
        let Some(place) = app.keyed.enter(scope, &key) else {
            let seen = app.store.find_idempotent(scope, &key).await?;
            return Ok(Err(seen.unwrap_or(Seen::InProgress)));
        };
        let mut begun = Self {
            app: app.clone(),
            scope: scope.clone(),
            key,
            worker: app.engine.worker_id(),
            place: Some(place),
            over: false,
        };
        let (store, at) = (&app.store, app.clock.now());
        let seen = store
            .begin_idempotent(scope, &begun.key, begun.worker, at)
            .await;
        match seen {
            Ok(None) => Ok(Ok(begun)),
            Ok(Some(seen)) => {
                begun.over = true;
                Ok(Err(seen))
            }
            // It may have been written all the same, and nobody else would ever free it: dropping it does.
            Err(error @ StoreError::UnknownOutcome(_)) => {
                begun.over = Seeded::BeginningForgotten.is_on();
                Err(error.into())
            }
            Err(error) => {
                begun.over = true;
                Err(error.into())
            }
        }
    }

    async fn finish(&mut self, reply: &StoredReply) -> Result<(), Problem> {
        // The work is done: whatever kept its answer from being kept, "nothing was written" would be wrong.
        match self.end(Some(reply)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Problem::new(Code::outcome_unknown)),
            Err(error) => Err(Problem::new(Code::outcome_unknown).because(error)),
        }
    }

    /// The work failed: the key is free again.
    async fn give_up(&mut self) {
        if let Err(error) = self.end(None).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "an idempotency key stays taken until this server's lease is over"
            );
        }
    }

    /// Tries until the store answers or the server stops: its lease ends then, and with it the request. False if the
    /// request was taken over by another worker.
    async fn end(&mut self, reply: Option<&StoredReply>) -> StoreResult<bool> {
        self.over = true;
        let mut pause = Duration::from_millis(20);
        loop {
            match self.write(reply).await {
                Err(
                    error @ (StoreError::Unavailable(_)
                    | StoreError::Full(_)
                    | StoreError::UnknownOutcome(_)),
                ) if !self.app.stop.is_cancelled() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the end of a request is not written yet; trying again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                other => return other,
            }
        }
    }

    async fn write(&self, reply: Option<&StoredReply>) -> StoreResult<bool> {
        let (store, scope, key) = (&self.app.store, &self.scope, &self.key);
        let Some(reply) = reply else {
            store.drop_idempotent(scope, key, self.worker).await?;
            return Ok(true);
        };
        let finish = store.finish_idempotent(scope, key, self.worker, reply);
        if finish.await? {
            return Ok(true);
        }
        // A write whose answer was lost has happened all the same.
        let found = store.find_idempotent(scope, key).await?;
        Ok(matches!(found, Some(Seen::Answered(found)) if found == *reply))
    }
}

impl Drop for Begun {
    /// Not over: the work panicked, its task was stopped, or nobody knows whether it was begun.
    fn drop(&mut self) {
        if self.over || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let mut left = Self {
            app: self.app.clone(),
            scope: self.scope.clone(),
            key: self.key.clone(),
            worker: self.worker,
            place: self.place.take(),
            over: true,
        };
        let tasks = self.app.tasks.clone();
        tasks.spawn(async move { left.give_up().await });
    }
}

fn replay(reply: StoredReply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, reply.body).into_response()
}
