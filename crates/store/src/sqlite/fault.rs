//! What can go wrong with SQLite, and what it means for the job at hand, for its group, and for the store.

use domain::ports::store::StoreError;
use rusqlite::{Error, ErrorCode, ffi};

/// Why a piece of work has no result.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(Error),
    /// Refused for a reason of ours; whatever it wrote is undone.
    Refused(StoreError),
}

pub(crate) type Work<T> = Result<T, Fault>;

/// Troubles of our own making.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the store is closed")]
    Closed,
    #[error("too many writes are waiting")]
    QueueFull,
    #[error("the disk failed to keep what it was given; the process must be restarted")]
    DiskFailed,
    #[error("the task that read was stopped")]
    ReaderGone(#[source] tokio::task::JoinError),
}

/// How far an error reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only the job that met it.
    Job,
    /// The whole group: its transaction is gone or cannot be trusted.
    Group,
    /// A sync failed: the kernel may have dropped what it had accepted, so nothing may be acknowledged any more.
    Store,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sql(error) => store_error(error),
            Fault::Refused(error) => error,
        }
    }
}

pub(super) fn reach(error: &Error) -> Reach {
    let Error::SqliteFailure(
        ffi::Error {
            code,
            extended_code,
        },
        _,
    ) = error
    else {
        return Reach::Job;
    };
    if matches!(
        *extended_code,
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC
    ) {
        return Reach::Store;
    }
    match code {
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed => Reach::Group,
        _ => Reach::Job,
    }
}

pub(super) fn store_error(error: Error) -> StoreError {
    let Error::SqliteFailure(cause, _) = &error else {
        return match &error {
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..) => corrupt("value", error),
            _ => StoreError::Rejected(Box::new(error)),
        };
    };
    match cause.code {
        ErrorCode::DiskFull => StoreError::Full(Box::new(error)),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => corrupt("page", error),
        ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Rejected(Box::new(error)),
    }
}

fn corrupt(column: &'static str, error: Error) -> StoreError {
    StoreError::Corrupt {
        table: "sqlite",
        column,
        id: "the file".to_owned(),
        source: Some(Box::new(error)),
    }
}
