//! How a store can fail, and what is on disk then. It does not say what to do about it.

use std::error::Error;

type Source = Box<dyn Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote the run first, or holds it now. Nothing was written.
    #[error("the run was written or taken by another")]
    Stale,
    /// A grant that the transition uses is used up, revoked or over. Nothing was written.
    #[error("a grant can no longer let the call through")]
    GrantGone,
    /// Not reachable or too busy; certainly nothing was written. May be tried again.
    #[error("the store is not available")]
    Unavailable(#[source] Source),
    /// No space is left; nothing was written.
    #[error("the store has no space left")]
    Full(#[source] Source),
    /// The answer to a commit was lost: it may have happened.
    #[error("the outcome of a write is not known")]
    UnknownOutcome(#[source] Source),
    /// A stored value is not one that this program writes.
    #[error("corrupt value in {table}.{column} of {id}")]
    Corrupt {
        table: &'static str,
        column: &'static str,
        id: String,
        #[source]
        source: Option<Source>,
    },
    /// The database refused a statement: a defect here.
    #[error("the database refused a statement")]
    Rejected(#[source] Source),
}

pub type StoreResult<T> = Result<T, StoreError>;
