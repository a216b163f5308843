//! What can go wrong with PostgreSQL, and what is known of a write that met it.

use domain::ports::store::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// What a statement does, which decides what the loss of its answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Read,
    Write,
}

/// Troubles of our own making.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the database did not answer in time")]
    NoAnswer,
    #[error("the store is closed")]
    Closed,
}

/// The database undid the statement because of another transaction: doing it again is right.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)
    )
}

/// The connection is gone.
pub(super) fn is_broken(error: &Error) -> bool {
    match error.code() {
        Some(code) => matches!(*code, SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN),
        None => !is_local(error),
    }
}

pub(super) fn store_error(error: Error, act: Act) -> StoreError {
    let Some(code) = error.code() else {
        return match act {
            // The connection broke: what was asked may have been done.
            Act::Write if !is_local(&error) => StoreError::UnknownOutcome(Box::new(error)),
            Act::Read if !is_local(&error) => StoreError::Unavailable(Box::new(error)),
            Act::Read | Act::Write => StoreError::Rejected(Box::new(error)),
        };
    };
    let class = code.code().get(..2).unwrap_or_default();
    match (code, class) {
        (&SqlState::DISK_FULL, _) => StoreError::Full(Box::new(error)),
        // The server ends the connection; it may have committed just before.
        (&SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN, _) => match act {
            Act::Write => StoreError::UnknownOutcome(Box::new(error)),
            Act::Read => StoreError::Unavailable(Box::new(error)),
        },
        (&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED, _) => StoreError::Corrupt {
            table: "postgres",
            column: "page",
            id: "the database".to_owned(),
            source: Some(Box::new(error)),
        },
        (&SqlState::READ_ONLY_SQL_TRANSACTION | &SqlState::LOCK_NOT_AVAILABLE, _) => {
            StoreError::Unavailable(Box::new(error))
        }
        // Connection trouble, resources, conflicts, operator's work, and the server's own system.
        (_, "08" | "40" | "53" | "57" | "58") => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Rejected(Box::new(error)),
    }
}

/// The error arose before anything was sent, or from an answer that came whole.
fn is_local(error: &Error) -> bool {
    use std::error::Error as _;
    // A value that does not fit its parameter or column carries a conversion error, a broken connection an I/O one.
    !error.is_closed()
        && error
            .source()
            .is_none_or(|source| source.downcast_ref::<std::io::Error>().is_none())
}

/// A column whose value does not have the type that was written there.
pub(super) fn unreadable(error: Error) -> StoreError {
    StoreError::Corrupt {
        table: "postgres",
        column: "value",
        id: "a row".to_owned(),
        source: Some(Box::new(error)),
    }
}
