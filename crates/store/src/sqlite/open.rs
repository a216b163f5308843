//! Opens the file: the lock against a second server, the schema, the writer and the readers.

#[cfg(test)]
mod tests;

use super::{LeaseClock, Readers, SqliteSettings, SqliteStore, Writer};
use crate::migrations::{self, Applied, Migration, SQLITE};
use crate::transfer::standing;
use crate::{OpenError, OpenMode};
use domain::crash::dialled;
use domain::ports::store::Store;
use domain::seeded::Seeded;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The first SQLite in which two connections cannot lose a log reset (www.sqlite.org/wal.html#walresetbug).
const OLDEST_SAFE: i32 = 3_051_003;
/// Pages kept by the writer: a group of commits, the ends of all tables and indexes, and the way to them. What is older is
/// read again from the system's cache, which costs a call and no memory of this process.
const WRITER_CACHE_KIB: i32 = 8 << 10;
/// Pages kept by each reader.
const READER_CACHE_KIB: i32 = 2 << 10;
/// Prepared statements kept by each connection; more than there are.
const STATEMENTS_KEPT: usize = 128;

/// Opens or creates the file and brings its schema up to date. In `OpenMode::Serve` a file that another process serves is
/// refused, and runs that an earlier process held are free at once.
pub async fn open(path: &Path, settings: SqliteSettings) -> Result<Arc<dyn Store>, OpenError> {
    let path = path.to_owned();
    let unwritable = {
        let path = path.clone();
        move |error: std::io::Error| OpenError::Unwritable {
            path,
            source: error,
        }
    };
    let opened = tokio::task::spawn_blocking(move || open_blocking(&path, &settings)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(error) => Err(unwritable(std::io::Error::other(error))),
    }
}

fn open_blocking(path: &Path, settings: &SqliteSettings) -> Result<SqliteStore, OpenError> {
    if rusqlite::version_number() < OLDEST_SAFE {
        return Err(OpenError::OldSqlite {
            found: rusqlite::version(),
        });
    }
    let unwritable = |source| OpenError::Unwritable {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let lock = match settings.mode {
        OpenMode::Serve => Some(lock(path)?),
        OpenMode::Beside => None,
    };
    let failed = |error| sqlite_error(path, error);
    let mut db = writing(path, settings).map_err(failed)?;
    migrate(&mut db, path, settings.mode, SQLITE)?;
    standing::check_sqlite(&db).map_err(failed)??;
    if settings.mode == OpenMode::Serve {
        forget(&db).map_err(failed)?;
    }
    let (read_path, read_settings) = (path.to_owned(), settings.clone());
    let readers = Readers::new(settings.readers, move || {
        reading(&read_path, &read_settings)
    });
    Ok(SqliteStore {
        readers: readers.map_err(failed)?,
        writer: Writer::start(db, lock).map_err(unwritable)?,
        leases: LeaseClock {
            zero: Instant::now(),
        },
    })
}

/// The lock proves that no worker lives, and that no request is under way any more.
fn forget(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "DELETE FROM workers; UPDATE mcp_logins SET held_by = NULL, held_until = NULL;
        DELETE FROM idempotency WHERE status IS NULL",
    )
}

/// The file of a store that nobody serves, for as long as the lock lives, and nobody holds anything of. It may be one
/// that no server may open any more.
pub(crate) fn alone(path: &Path) -> Result<(Connection, File), OpenError> {
    let failed = |error| sqlite_error(path, error);
    let lock = lock(path)?;
    let mut db = writing(path, &SqliteSettings::default()).map_err(failed)?;
    migrate(&mut db, path, OpenMode::Serve, SQLITE)?;
    forget(&db).map_err(failed)?;
    db.execute("UPDATE runs SET owner = NULL WHERE owner IS NOT NULL", [])
        .map_err(failed)?;
    Ok((db, lock))
}

/// A connection to the file of a store, beside the server that may work on it.
pub(crate) fn beside(path: &Path) -> Result<Connection, OpenError> {
    let failed = |error| sqlite_error(path, error);
    let settings = SqliteSettings {
        mode: OpenMode::Beside,
        ..SqliteSettings::default()
    };
    let mut db = writing(path, &settings).map_err(failed)?;
    migrate(&mut db, path, settings.mode, SQLITE)?;
    standing::check_sqlite(&db).map_err(failed)??;
    Ok(db)
}

/// The lock is on a file beside the database: SQLite's own locks on the database would be dropped when any other handle
/// on it is closed.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name));
    let unwritable = |source| OpenError::Unwritable {
        path: path.to_owned(),
        source,
    };
    let file = opened.map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(unwritable(error)),
    }
}

fn writing(path: &Path, settings: &SqliteSettings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(settings.busy_timeout)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = if Seeded::NoSync.is_on() {
        "off"
    } else {
        "full"
    };
    db.pragma_update(None, "synchronous", synchronous)?;
    let checkpoint_pages = dialled("store.checkpoint_pages").unwrap_or(settings.checkpoint_pages);
    db.pragma_update(None, "wal_autocheckpoint", checkpoint_pages)?;
    // The log file shrinks back to this after a burst.
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // Undo logs of savepoints stay in memory.
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    if let Some(pages) = settings.pages_max {
        db.pragma_update(None, "max_page_count", pages)?;
    }
    keep_plans(&db)?;
    Ok(db)
}

/// Prepared statements are kept with their plans. Without the guarantee every new value of a parameter that might suit
/// another index makes SQLite prepare the statement again, which costs more than running it.
fn keep_plans(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}

fn reading(path: &Path, settings: &SqliteSettings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(settings.busy_timeout)?;
    db.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    db.pragma_update(None, "temp_store", "memory")?;
    keep_plans(&db)?;
    Ok(db)
}

const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL
) STRICT";

fn migrate(
    db: &mut Connection,
    path: &Path,
    mode: OpenMode,
    known: &[Migration],
) -> Result<(), OpenError> {
    let failed = |error| sqlite_error(path, error);
    let todo = {
        let applied = applied(db, path)?;
        migrations::pending(known, &applied)?.len()
    };
    if todo == 0 {
        return Ok(());
    }
    // A command must not change the schema under a server that is running.
    let _lock = match mode {
        OpenMode::Serve => None,
        OpenMode::Beside => Some(lock(path)?),
    };
    let tx = Transaction::new(db, TransactionBehavior::Immediate).map_err(failed)?;
    // Asked again inside the transaction: two commands may have begun at once.
    let applied = applied(&tx, path)?;
    tx.execute_batch(CREATE_MIGRATIONS).map_err(failed)?;
    for step in migrations::pending(known, &applied)? {
        let run = tx.execute_batch(step.sql).and_then(|()| {
            tx.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (?1, ?2, ?3)",
                params![step.version, step.name, step.checksum()],
            )
        });
        run.map_err(|error| OpenError::Migration {
            name: step.name,
            source: Box::new(error),
        })?;
    }
    tx.commit().map_err(failed)
}

/// Steps behind the database. A database with tables but no list of steps was made by somebody else.
fn applied(db: &Connection, path: &Path) -> Result<Vec<Applied>, OpenError> {
    let failed = |error| sqlite_error(path, error);
    let tables = |sql: &str| -> Result<i64, OpenError> {
        db.query_row(sql, [], |row| row.get(0)).map_err(failed)
    };
    let listed = "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'";
    if tables(listed)? == 0 {
        return match tables("SELECT count(*) FROM sqlite_schema")? {
            0 => Ok(Vec::new()),
            _ => Err(OpenError::NotADatabase {
                path: path.to_owned(),
            }),
        };
    }
    let mut statement = db
        .prepare("SELECT version, checksum FROM schema_migrations ORDER BY version")
        .map_err(failed)?;
    let rows = statement
        .query_map([], |row| {
            Ok(Applied {
                version: row.get(0)?,
                checksum: row.get(1)?,
            })
        })
        .map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

pub(super) fn sqlite_error(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::DiskFull,
        ) => OpenError::Unwritable {
            path,
            source: std::io::Error::other(error),
        },
        _ => OpenError::Sqlite {
            path,
            source: error,
        },
    }
}
