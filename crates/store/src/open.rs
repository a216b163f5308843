//! Opening a store by its address, and everything that can stand in the way, each with what to do about it.

use crate::postgres::PostgresSettings;
use crate::sqlite::SqliteSettings;
use domain::Timestamp;
use domain::ports::store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the store is opened for. It matters to a file only: a database server arbitrates for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// To serve: nobody else may serve the same file.
    Serve,
    /// For a command beside a server that may be running.
    Beside,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is being served by another process; stop that one, or use another data folder", path.display())]
    Locked { path: PathBuf },
    #[error("{} cannot be read or written; check that the folder exists, has space, and belongs to this user", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not a database of this program; move it away or name another file", path.display())]
    NotADatabase { path: PathBuf },
    #[error(
        "the database has schema version {found} but this program knows only {known}; run a newer version of it"
    )]
    NewerSchema { found: i32, known: i32 },
    #[error(
        "schema step {version} of the database is not the one this program knows; restore a backup or run the version that made it"
    )]
    AlteredSchema { version: i32 },
    #[error("schema step {name} failed and left the database as it was; the cause follows")]
    Migration {
        name: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "SQLite {found} can corrupt a database that two connections write; build with 3.51.3 or newer"
    )]
    OldSqlite { found: &'static str },
    #[error("SQLite could not open {}", path.display())]
    Sqlite {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the database address is not valid; write postgres://user:password@host:port/database")]
    BadAddress(#[source] tokio_postgres::Error),
    #[error(
        "cannot connect to PostgreSQL at {host}; check that it runs, and the user, password and database name"
    )]
    Connect {
        host: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("PostgreSQL {found} is too old; 13 or newer is needed")]
    OldPostgres { found: String },
    #[error("PostgreSQL refused a statement while opening")]
    Postgres(#[source] tokio_postgres::Error),
    #[error(
        "the store is being moved to {to}; run the same `runyard move` again to finish it, or with --undo to stay here"
    )]
    Leaving { to: String },
    #[error("the store was moved to {to} at {at}; name that one with --database-url")]
    Left { to: String, at: Timestamp },
    #[error(
        "a move into this database is not finished; run the same `runyard move` again to finish it"
    )]
    Arriving,
    #[error("a newer version of this program moves this database; use that one")]
    UnknownStanding,
}

/// Opens the store at `address`: `postgres://…`, `postgresql://…`, `sqlite://path`, `sqlite:path`, or a path. Settings
/// are the defaults; a missing file is created, and the schema brought up to date.
pub async fn open(address: &str, mode: OpenMode) -> Result<Arc<dyn Store>, OpenError> {
    match place(address) {
        Place::Server => crate::postgres::open(address, PostgresSettings::default()).await,
        Place::File(path) => {
            let settings = SqliteSettings {
                mode,
                ..SqliteSettings::default()
            };
            crate::sqlite::open(path, settings).await
        }
    }
}

/// What an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    File(&'a Path),
    Server,
}

pub fn place(address: &str) -> Place<'_> {
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        return Place::Server;
    }
    let path = address
        .strip_prefix("sqlite://")
        .or_else(|| address.strip_prefix("sqlite:"))
        .unwrap_or(address);
    Place::File(Path::new(path))
}
