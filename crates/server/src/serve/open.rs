//! Opening the store that the settings name, with what to do about each thing that can stand in the way.

use crate::cli::Failure;
use crate::config::Database;
use crate::serve::folder;
use ::store::{OpenError, OpenMode};
use domain::ports::store::Store;
use secrecy::ExposeSecret;
use std::sync::Arc;

/// Opens the store, making it if it is not there.
pub async fn open_store(database: &Database, mode: OpenMode) -> Result<Arc<dyn Store>, Failure> {
    let address = match database {
        Database::Postgres(url) => url.value.expose_secret().to_owned(),
        Database::Sqlite(path) => {
            if let Some(folder) = path.parent() {
                folder::prepare(folder)?;
            }
            path.to_string_lossy().into_owned()
        }
    };
    ::store::open(&address, mode).await.map_err(|error| {
        let mend = mend(&error);
        Failure::new("the store cannot be opened", mend).because(&error)
    })
}

/// What to do about it.
pub fn mend(error: &OpenError) -> &'static str {
    match error {
        OpenError::Locked { .. } => {
            "stop the other server, or give this one another folder with --data DIR; several servers share a PostgreSQL database with --database-url"
        }
        OpenError::Unwritable { .. } | OpenError::Sqlite { .. } => {
            "check the file's permissions and the space on its disk"
        }
        OpenError::NotADatabase { .. } => {
            "move the file away, or use another folder with --data DIR"
        }
        OpenError::NewerSchema { .. } => "run the version of Runyard that made it, or a newer one",
        OpenError::AlteredSchema { .. } => {
            "restore a backup, or run the version of Runyard that made it"
        }
        OpenError::Migration { .. } => "free some space and start again; nothing was changed",
        OpenError::OldSqlite { .. } => "build with a newer SQLite",
        OpenError::BadAddress(_) => {
            "write --database-url as postgres://user:password@host:port/database"
        }
        OpenError::Connect { .. } => {
            "check that PostgreSQL runs there, and the user, password and database of --database-url"
        }
        OpenError::OldPostgres { .. } => "use PostgreSQL 13 or newer",
        OpenError::Leaving { .. } => {
            "run `runyard move` again with the same addresses, or with --undo"
        }
        OpenError::Left { .. } => "start with --database-url and the address of that database",
        OpenError::Arriving => {
            "run `runyard move` again with the same addresses, where the old store is"
        }
        OpenError::UnknownStanding => "run the newest version of Runyard that was used with it",
        OpenError::Postgres(_) => "check the rights of the database user; it must own its schema",
    }
}
