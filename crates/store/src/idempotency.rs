//! When an idempotency key counts as seen. Both databases keep the same columns and ask here.

use crate::decode::Column;
use domain::ports::store::{Idempotency, Seen, StoreError, StoreResult, StoredReply};
use domain::seeded::Seeded;
use domain::{OrgScope, Timestamp};
use std::time::Duration;
use uuid::Uuid;

/// How long a key is remembered.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);
/// What a thread's or run's creation is remembered as; the answer is made anew from the resource.
pub(crate) const CREATED_STATUS: i32 = 200;

/// A key as it is written, owned so that it can travel to a writer.
#[derive(Debug, Clone)]
pub(crate) struct KeyColumns {
    pub org: String,
    pub route: String,
    pub key: String,
    pub body_digest: [u8; 32],
    pub at: i64,
    /// Rows begun at or before this are forgotten.
    pub forgotten: i64,
}

impl KeyColumns {
    pub fn new(scope: &OrgScope, key: &Idempotency, at: Timestamp) -> Self {
        let kept = i64::try_from(KEPT.as_micros()).expect("a day fits");
        let org = match Seeded::KeysOfAllOrgs.is_on() {
            true => "any",
            false => scope.org().as_str(),
        };
        Self {
            org: org.to_owned(),
            route: key.route.clone(),
            key: key.key.clone(),
            body_digest: key.body_digest,
            at: at.as_micros(),
            forgotten: at.as_micros().saturating_sub(kept),
        }
    }
}

/// For a request to a worker that may not begin any: others may hold what it holds.
pub(crate) fn lease_over() -> StoreError {
    StoreError::Unavailable("the worker's lease is over, and no new one was had yet".into())
}

/// The columns of a key that is there.
#[derive(Debug, Clone)]
pub(crate) struct SeenRow {
    pub body_digest: Vec<u8>,
    pub begun_at: i64,
    pub status: Option<i64>,
    pub body: Option<Vec<u8>>,
    pub resource: Option<Uuid>,
}

impl SeenRow {
    /// `None` where the row no longer counts and the caller is the first.
    pub fn judge(self, key: &KeyColumns) -> StoreResult<Option<Seen>> {
        if self.begun_at <= key.forgotten {
            return Ok(None);
        }
        self.seen(&key.body_digest, &key.key).map(Some)
    }

    /// What the row says, however old it is.
    pub fn seen(self, body_digest: &[u8; 32], key: &str) -> StoreResult<Seen> {
        if self.body_digest != body_digest && !Seeded::BodyUncompared.is_on() {
            return Ok(Seen::OtherBody);
        }
        let Some(status) = self.status else {
            return Ok(Seen::InProgress);
        };
        let column = Column("idempotency", "status");
        Ok(Seen::Answered(StoredReply {
            status: u16::try_from(status).map_err(|_| column.corrupt(key))?,
            body: self.body.unwrap_or_default(),
            resource: self.resource,
        }))
    }
}
