//! A schema that grows: steps are added to a file that is in use.

use super::{migrate, writing};
use crate::migrations::{Migration, SQLITE};
use crate::sqlite::SqliteSettings;
use crate::{OpenError, OpenMode};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const NEXT: Migration = Migration {
    version: 9_001,
    name: "9001_notes",
    sql: "ALTER TABLE agent_versions ADD COLUMN note TEXT; UPDATE agent_versions SET note = version || '!'",
};
const FAILING: Migration = Migration {
    version: 9_002,
    name: "9002_failing",
    sql: "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)",
};

fn populated() -> (TempDir, PathBuf, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let mut db = writing(&path, &SqliteSettings::default()).unwrap();
    migrate(&mut db, &path, OpenMode::Serve, SQLITE).unwrap();
    db.execute_batch("INSERT INTO agent_versions VALUES ('support', 'v1', '{}')")
        .unwrap();
    (folder, path, db)
}

fn grow(db: &mut Connection, path: &Path, more: &[Migration]) -> Result<(), OpenError> {
    let known = [SQLITE, more].concat();
    migrate(db, path, OpenMode::Serve, &known)
}

/// The steps that this program has, and perhaps one more, as the file lists them.
fn steps(more: &[Migration]) -> String {
    let all = SQLITE.iter().chain(more);
    let versions: Vec<String> = all.map(|step| step.version.to_string()).collect();
    versions.join(",")
}

fn text(db: &Connection, sql: &str) -> String {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_populated_file_is_upgraded_once() {
    let (_folder, path, mut db) = populated();
    for _ in 0..2 {
        grow(&mut db, &path, &[NEXT]).unwrap();
        assert_eq!(text(&db, "SELECT note FROM agent_versions"), "v1!");
    }
}

#[test]
fn a_step_that_fails_takes_those_before_it_along() {
    let (_folder, path, mut db) = populated();
    let failed = grow(&mut db, &path, &[NEXT, FAILING]).unwrap_err();
    let named = matches!(
        failed,
        OpenError::Migration {
            name: "9002_failing",
            ..
        }
    );
    assert!(named, "{failed:?}");
    let versions = "SELECT group_concat(version) FROM schema_migrations";
    assert_eq!(text(&db, versions), steps(&[]));
    let half = "SELECT CAST(count(*) AS TEXT) FROM sqlite_schema WHERE name = 'half'";
    assert_eq!(text(&db, half), "0");
    assert_eq!(text(&db, "SELECT version FROM agent_versions"), "v1");
    grow(&mut db, &path, &[NEXT]).unwrap();
    assert_eq!(text(&db, versions), steps(&[NEXT]));
}

#[test]
fn an_older_program_leaves_a_newer_file_alone() {
    let (_folder, path, mut db) = populated();
    grow(&mut db, &path, &[NEXT]).unwrap();
    let refused = grow(&mut db, &path, &[]).unwrap_err();
    let newer = matches!(refused, OpenError::NewerSchema { found: 9_001, .. });
    assert!(newer, "{refused:?}");
}

#[test]
fn a_command_does_not_upgrade_a_file_that_is_served() {
    let (_folder, path, mut db) = populated();
    let server = super::lock(&path).unwrap();
    let known = [SQLITE, &[NEXT]].concat();
    let refused = migrate(&mut db, &path, OpenMode::Beside, &known).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
    drop(server);
    migrate(&mut db, &path, OpenMode::Beside, &known).unwrap();
}

/// What is acknowledged survives a power failure only with these.
#[test]
fn commits_are_synced() {
    let (_folder, _path, db) = populated();
    let pragma = |name: &str| -> String {
        db.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), r#"Text("wal")"#);
    assert_eq!(pragma("synchronous"), "Integer(2)");
}
