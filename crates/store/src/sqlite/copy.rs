//! Copies of the file: one taken while a server writes it, and one brought back, in which nothing goes on by itself.

use super::open::sqlite_error;
use super::{SqliteSettings, open};
use crate::OpenError;
use domain::audit::{Actor, Deed, Entry};
use domain::ports::store::{Store, StoreError};
use domain::run::Hold;
use domain::{OrgId, OrgScope, Timestamp};
use rusqlite::{Connection, OpenFlags, params};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{} is there already", path.display())]
    Exists { path: PathBuf },
    #[error("{} is not there", path.display())]
    Missing { path: PathBuf },
    #[error("{} cannot be written", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the copy cannot be written")]
    Store(#[from] StoreError),
}

/// What is in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    pub threads: u64,
    pub runs: u64,
    /// Of the runs, those that are not over.
    pub open_runs: u64,
    pub bytes: u64,
}

/// Copies the database at `from`, as it is at one moment, to a new file. On return the copy is whole, checked and on disk.
///
/// `VACUUM INTO` reads under one snapshot while others write; SQLite's backup interface would begin anew with every
/// write of another process.
pub fn back_up(from: &Path, to: &Path) -> Result<Copied, CopyError> {
    if to.exists() {
        return Err(CopyError::Exists {
            path: to.to_owned(),
        });
    }
    if !from.exists() {
        return Err(CopyError::Missing {
            path: from.to_owned(),
        });
    }
    let draft = draft(to);
    let done = fill(from, &draft).and_then(|copied| publish(&draft, to).map(|()| copied));
    if done.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    done
}

fn draft(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    PathBuf::from(name)
}

fn fill(from: &Path, draft: &Path) -> Result<Copied, CopyError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| CopyError::Open(sqlite_error(from, error));
    let db = Connection::open_with_flags(from, flags).map_err(failed)?;
    db.busy_timeout(std::time::Duration::from_secs(30))
        .map_err(failed)?;
    let target = draft.to_string_lossy().into_owned();
    db.execute("VACUUM INTO ?1", params![target])
        .map_err(|error| CopyError::Open(sqlite_error(draft, error)))?;
    inspect(draft)
}

/// Reads all of a file, which may be one that lost its server or its power, and counts what is in it.
///
/// # Errors
/// `CopyError::Damaged` if anything of it is not as it should be.
pub fn inspect(path: &Path) -> Result<Copied, CopyError> {
    let failed = |error| CopyError::Open(sqlite_error(path, error));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    let said: String = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if said != "ok" {
        return Err(CopyError::Damaged {
            path: path.to_owned(),
            what: said,
        });
    }
    let count = |sql: &str| -> Result<u64, CopyError> {
        let number: i64 = db.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
        Ok(number.unsigned_abs())
    };
    Ok(Copied {
        threads: count("SELECT count(*) FROM chat_threads")?,
        runs: count("SELECT count(*) FROM runs")?,
        open_runs: count(
            "SELECT count(*) FROM runs WHERE status IN ('queued', 'running', 'awaiting_approval')",
        )?,
        bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
    })
}

/// On return the file is there under its name, whatever happens to the machine.
fn publish(draft: &Path, to: &Path) -> Result<(), CopyError> {
    let unwritable = |source| CopyError::Unwritable {
        path: to.to_owned(),
        source,
    };
    File::open(draft)
        .and_then(|file| file.sync_all())
        .map_err(unwritable)?;
    std::fs::hard_link(draft, to).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => CopyError::Exists {
            path: to.to_owned(),
        },
        _ => unwritable(error),
    })?;
    let _ = std::fs::remove_file(draft);
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(unwritable)
}

/// Makes a store of a copy. Every open run of it is on hold, with a new epoch: it may be going on where the copy was
/// taken. Nothing else is changed, so ids and cursors stay what they were.
pub async fn bring_back(from: &Path, to: &Path, at: Timestamp) -> Result<Copied, CopyError> {
    if to.exists() {
        return Err(CopyError::Exists {
            path: to.to_owned(),
        });
    }
    if !from.exists() {
        return Err(CopyError::Missing {
            path: from.to_owned(),
        });
    }
    let copied = inspect(from)?;
    let draft = draft(to);
    let done = async {
        let unwritable = |source| CopyError::Unwritable {
            path: draft.clone(),
            source,
        };
        std::fs::copy(from, &draft).map_err(unwritable)?;
        hold_all(&draft, at).await?;
        publish(&draft, to)
    }
    .await;
    for leftover in ["", "-wal", "-shm", ".lock"] {
        let mut name = draft.clone().into_os_string();
        name.push(leftover);
        let _ = std::fs::remove_file(name);
    }
    done.map(|()| copied)
}

async fn hold_all(path: &Path, at: Timestamp) -> Result<(), CopyError> {
    // An older copy gets today's tables first.
    let store = open(path, SqliteSettings::default()).await?;
    let held = hold_runs(path, at);
    let noted = match held {
        Ok(orgs) => note(&store, orgs, at).await,
        Err(error) => Err(error),
    };
    store.close().await;
    noted?;
    // What lies in the log joins the file, which alone is kept.
    let failed = |error| CopyError::Open(sqlite_error(path, error));
    let db = Connection::open(path).map_err(failed)?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(failed)?;
    db.close().map_err(|(_, error)| failed(error))
}

/// Runs put on hold, by org.
fn hold_runs(path: &Path, at: Timestamp) -> Result<Vec<(OrgId, u64)>, CopyError> {
    let failed = |error| CopyError::Open(sqlite_error(path, error));
    let hold = crate::encode::json(&Hold::Restored { at })?;
    let mut db = Connection::open(path).map_err(failed)?;
    let transaction = db.transaction().map_err(failed)?;
    let counted = {
        let mut statement = transaction
            .prepare("SELECT org, count(*) FROM runs WHERE status IN ('queued', 'running', 'awaiting_approval') GROUP BY org")
            .map_err(failed)?;
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })
            .map_err(failed)?;
        rows.collect::<Result<Vec<_>, _>>().map_err(failed)?
    };
    transaction
        .execute(
            "UPDATE runs SET hold = ?1, owner = NULL, epoch = epoch + 1, version = version + 1
             WHERE status IN ('queued', 'running', 'awaiting_approval')",
            params![hold],
        )
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    let org =
        |(org, count): (String, i64)| Some((OrgId::new(org.as_str()).ok()?, count.unsigned_abs()));
    Ok(counted.into_iter().filter_map(org).collect())
}

async fn note(
    store: &Arc<dyn Store>,
    orgs: Vec<(OrgId, u64)>,
    at: Timestamp,
) -> Result<(), CopyError> {
    for (org, held) in orgs {
        let entry = Entry {
            at,
            actor: Actor::Operator,
            deed: Deed::StoreRestored { held },
        };
        store.append_audit(&OrgScope::new(org), &[entry]).await?;
    }
    Ok(())
}
