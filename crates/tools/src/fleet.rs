//! The sample that a new server comes with: a small fleet of devices in a SQLite file, and tools to look at it and
//! change it.

use rusqlite::Connection;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The sample's databases and tools, as a part of `runyard.toml`.
pub const TOML: &str = include_str!("../fleet.toml");

/// Schema and data of the sample's database.
pub const SQL: &str = include_str!("../fleet.sql");

/// The sample could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("{path} cannot be written")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the sample's database cannot be filled")]
    Sqlite(#[from] rusqlite::Error),
}

/// Creates the sample's SQLite file at `path` if there is none. A file that exists is left alone, and a half-written
/// one is never seen at `path`.
///
/// `draft` names the file that is written first: a new one each time, so that servers that start at the same moment do
/// not write into one.
pub fn install(path: &Path, draft: Uuid) -> Result<(), InstallError> {
    if path.exists() {
        return Ok(());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", draft.simple()));
    let draft = PathBuf::from(name);
    let file = |source| InstallError::File {
        path: path.to_owned(),
        source,
    };
    let put = fill(&draft).and_then(|()| put(&draft, path).map_err(file));
    // What cannot be taken away does no harm.
    let _ = std::fs::remove_file(&draft);
    put
}

fn fill(draft: &Path) -> Result<(), InstallError> {
    let connection = Connection::open(draft)?;
    // Readers do not wait for a writer.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.execute_batch(&format!("BEGIN; {SQL} COMMIT;"))?;
    Ok(connection.close().map_err(|(_, error)| error)?)
}

/// Gives the file its name, unless another has it: that one may be in use.
fn put(draft: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(draft, path) {
        Err(_) if path.exists() => Ok(()),
        // A file system without links.
        Err(_) => std::fs::rename(draft, path),
        Ok(()) => Ok(()),
    }
}
