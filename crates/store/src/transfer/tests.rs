//! The list of tables is that of both schemas, and a move that is stopped anywhere ends with everything there once.

use super::cell::{Cell, Kind, Row};
use super::tables::{STAYING, TABLES, Table};
use super::{MoveError, Moved, Progress, Undone, move_store, postgres, sqlite, undo_move};
use crate::sqlite::open as file;
use crate::{OpenError, OpenMode};
use domain::Timestamp;
use futures::FutureExt;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const DEFAULT: &str = "postgres://postgres@127.0.0.1:5432/postgres";
const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
/// Of the longest table, so that it takes several batches.
const MANY: i64 = 4_500;

async fn connect(address: &str) -> Client {
    let connected = tokio_postgres::connect(address, NoTls).await;
    let (client, connection) = connected.unwrap_or_else(|error| {
        panic!("no PostgreSQL at {address} ({error}); `cargo xtask services` starts one")
    });
    tokio::spawn(connection);
    client
}

/// A database of one test, dropped afterwards.
async fn with_database<F: Future<Output = ()>>(test: impl FnOnce(String) -> F) {
    let server = std::env::var("RUNYARD_TEST_POSTGRES").unwrap_or_else(|_| DEFAULT.to_owned());
    let name = format!("move_{}", Uuid::now_v7().simple());
    let admin = connect(&server).await;
    let create = format!("CREATE DATABASE {name}");
    admin.batch_execute(&create).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    let outcome = AssertUnwindSafe(test(format!("{base}/{name}")))
        .catch_unwind()
        .await;
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    admin.batch_execute(&drop).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// A value that no other row of the column has.
fn value(kind: Kind, number: i64) -> Cell {
    match kind {
        Kind::Text => Cell::Text(format!("Text Nº {number} \\u0000 🗑")),
        Kind::Int => Cell::Int(number + (1 << 40)),
        Kind::Int4 => Cell::Int(number),
        Kind::Bool => Cell::Bool(number % 2 == 0),
        Kind::Uuid => Cell::Uuid(Uuid::from_u128(
            0xabcd << 100 | number.unsigned_abs() as u128,
        )),
        Kind::Bytes => Cell::Bytes(vec![number as u8, 0, 255]),
    }
}

/// Rows for a table, in some of which everything is NULL that may be.
fn rows(db: &rusqlite::Connection, table: &Table, count: i64) -> Vec<Row> {
    let sql = format!(
        "SELECT name FROM pragma_table_info('{}') WHERE \"notnull\" = 0 AND pk = 0",
        table.name
    );
    let mut statement = db.prepare(&sql).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0));
    let nullable: BTreeSet<String> = names.unwrap().map(Result::unwrap).collect();
    let row = |number: i64| {
        let cells = table.columns.iter().map(|column| {
            let may_be_null = nullable.contains(column.name);
            match column.name {
                "org" => Cell::Text(format!("org-{number}")),
                // Nobody holds anything of a store that is not served.
                "owner" | "held_by" | "held_until" => Cell::Null,
                "status" if table.name == "idempotency" => value(column.kind, number),
                _ if may_be_null && number % 3 == 0 => Cell::Null,
                _ => value(column.kind, number),
            }
        });
        cells.collect()
    };
    (1..=count).map(row).collect()
}

/// A file with rows in every table.
fn populated() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runyard.db");
    let (mut db, _lock) = file::alone(&path).unwrap();
    let transaction = db.transaction().unwrap();
    for table in TABLES {
        let count = if table.name == "messages" { MANY } else { 7 };
        let rows = rows(&transaction, table, count);
        sqlite::insert(&transaction, table, &rows, false).unwrap();
    }
    transaction.commit().unwrap();
    (folder, path)
}

/// Moves, and dies after so many steps; `None` if that happened.
async fn move_until(path: &Path, to: &str, steps: usize) -> Option<Result<Moved, MoveError>> {
    let (path, to) = (path.to_owned(), to.to_owned());
    let moving = tokio::spawn(async move {
        let mut left = steps;
        let mut watch = |_: Progress| {
            if left == 0 {
                resume_unwind(Box::new("dead"));
            }
            left -= 1;
        };
        move_store(&path, &to, Uuid::now_v7(), NOW, &mut watch).await
    });
    moving.await.ok()
}

async fn opened(address: &str) -> Result<(), OpenError> {
    let store = crate::open(address, OpenMode::Beside).await?;
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn list_of_tables_is_that_of_both_schemas() {
    let (_folder, path) = populated();
    let db = rusqlite::Connection::open(&path).unwrap();
    let all = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let found: BTreeSet<String> = {
        let mut statement = db.prepare(all).unwrap();
        let names = statement.query_map([], |row| row.get::<_, String>(0));
        names.unwrap().map(Result::unwrap).collect()
    };
    let names = TABLES.iter().map(|table| table.name).chain(STAYING);
    let known: BTreeSet<String> = names.map(str::to_owned).collect();
    assert_eq!(found, known);
    with_database(|address| async move {
        opened(&address).await.unwrap();
        let client = connect(&address).await;
        let all =
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
        let there = client.query(all, &[]).await.unwrap();
        let there: BTreeSet<String> = there.iter().map(|row| row.get(0)).collect();
        assert_eq!(there, known);
        for table in TABLES {
            let sql = format!(
                "SELECT name, type FROM pragma_table_info('{}') ORDER BY cid",
                table.name
            );
            let mut statement = db.prepare(&sql).unwrap();
            let here = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            let here: Vec<(String, String)> = here.unwrap().map(Result::unwrap).collect();
            let there = client
                .query(
                    "SELECT column_name::text, data_type::text FROM information_schema.columns
                     WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position",
                    &[&table.name],
                )
                .await
                .unwrap();
            let there: Vec<(String, String)> =
                there.iter().map(|row| (row.get(0), row.get(1))).collect();
            let types = |kind| match kind {
                Kind::Text => ("TEXT", "text"),
                Kind::Int => ("INTEGER", "bigint"),
                Kind::Int4 => ("INTEGER", "integer"),
                Kind::Bool => ("INTEGER", "boolean"),
                Kind::Uuid => ("BLOB", "uuid"),
                Kind::Bytes => ("BLOB", "bytea"),
            };
            let columns = table.columns.iter();
            let wanted = columns.map(|column| {
                let (here, there) = types(column.kind);
                let name = column.name.to_owned();
                ((name.clone(), here.to_owned()), (name, there.to_owned()))
            });
            let (wanted_here, wanted_there): (Vec<_>, Vec<_>) = wanted.unzip();
            let upper: Vec<(String, String)> = here
                .into_iter()
                .map(|(name, kind)| (name, kind.to_uppercase()))
                .collect();
            assert_eq!(upper, wanted_here, "{}", table.name);
            assert_eq!(there, wanted_there, "{}", table.name);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_dies_at_every_step_ends_with_everything_there_once() {
    let (_folder, path) = populated();
    with_database(|to| async move {
        let address = path.to_str().unwrap();
        // A few steps in each life; then up to the moment between the closing of the one and the opening of the other.
        let lives = (0..40)
            .map(|life| life % 4)
            .chain([TABLES.len(), 0])
            .enumerate();
        for (life, steps) in lives {
            let done = move_until(&path, &to, steps).await;
            assert!(done.is_none(), "life {life}: {done:?}");
            match opened(address).await {
                Err(OpenError::Leaving { .. }) if life < 40 => {}
                Err(OpenError::Left { .. }) if life >= 40 => {}
                other => panic!("life {life}: {other:?}"),
            }
            let there = opened(&to).await;
            assert!(matches!(there, Err(OpenError::Arriving)), "{there:?}");
        }
        let moved = move_until(&path, &to, usize::MAX).await.unwrap().unwrap();
        let rows = 7 * (TABLES.len() - 1) + usize::try_from(MANY).unwrap();
        assert_eq!(moved.rows, rows as u64);
        let db = rusqlite::Connection::open(&path).unwrap();
        let mut client = connect(&to).await;
        let transaction = client.transaction().await.unwrap();
        for table in TABLES {
            let key = table.key[0];
            let all = sqlite::batch(&db, table, None, usize::MAX >> 1, usize::MAX).unwrap();
            for row in all.iter().take(7) {
                let of = (key, row[table.place(key).unwrap()].clone());
                let mut there = postgres::select(&transaction, table, std::slice::from_ref(&of))
                    .await
                    .unwrap();
                let mut here = sqlite::select(&db, table, &[of]).unwrap();
                if matches!(table.name, "audit_log" | "audit_heads") {
                    // Each org's record has the move as its last entry.
                    there.truncate(1);
                    if table.name == "audit_heads" {
                        (here, there) = (Vec::new(), Vec::new());
                    }
                }
                assert_eq!(here, there, "{}", table.name);
            }
        }
        drop(transaction);
        let entries = "SELECT count(*) FROM audit_log WHERE body LIKE '%store.moved%'";
        let entries: i64 = client.query_one(entries, &[]).await.unwrap().get(0);
        assert_eq!(entries, 7);
        let next = "SELECT nextval(pg_get_serial_sequence('webhook_deliveries', 'seq'))";
        let next: i64 = client.query_one(next, &[]).await.unwrap().get(0);
        assert_eq!(Cell::Int(next - 1), value(Kind::Int, 7));
        assert!(matches!(opened(address).await, Err(OpenError::Left { .. })));
        opened(&to).await.unwrap();
        let again = move_until(&path, &to, usize::MAX).await.unwrap();
        assert!(matches!(again, Err(MoveError::Done { .. })), "{again:?}");
        let undone = undo_move(&path, &to).await;
        assert!(matches!(undone, Err(MoveError::Done { .. })), "{undone:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_given_up_leaves_both_as_they_were() {
    let (_folder, path) = populated();
    with_database(|to| async move {
        let address = path.to_str().unwrap();
        let nothing = undo_move(&path, &to).await;
        assert!(matches!(nothing, Err(MoveError::NoMove)), "{nothing:?}");
        assert!(move_until(&path, &to, 9).await.is_none());
        assert_eq!(undo_move(&path, &to).await.unwrap(), Undone::Emptied);
        opened(address).await.unwrap();
        opened(&to).await.unwrap();
        let client = connect(&to).await;
        for table in TABLES {
            assert!(postgres::is_empty(&client, table).await.unwrap());
        }
        // A target that is gone in the middle of it holds up nobody.
        assert!(move_until(&path, &to, 9).await.is_none());
        let gone = "postgres://postgres@127.0.0.1:9/gone";
        assert_eq!(undo_move(&path, gone).await.unwrap(), Undone::Left);
        opened(address).await.unwrap();
        let filled = move_until(&path, &to, 9).await.unwrap();
        assert!(matches!(filled, Err(MoveError::OtherMove)), "{filled:?}");
        opened(address).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_that_would_mix_or_lose_something_are_refused() {
    let (folder, path) = populated();
    let nowhere = folder.path().join("nowhere.db");
    with_database(|to| async move {
        let missing = move_until(&nowhere, &to, 9).await.unwrap();
        assert!(
            matches!(missing, Err(MoveError::Missing { .. })),
            "{missing:?}"
        );
        assert!(!nowhere.exists());
        let served = crate::sqlite::open(&path, Default::default())
            .await
            .unwrap();
        let locked = move_until(&path, &to, 9).await.unwrap();
        assert!(
            matches!(locked, Err(MoveError::Open(OpenError::Locked { .. }))),
            "{locked:?}"
        );
        served.close().await;
        drop(served);
        opened(&to).await.unwrap();
        let client = connect(&to).await;
        let other = "INSERT INTO orgs VALUES ('other', 1)";
        client.batch_execute(other).await.unwrap();
        let mixed = move_until(&path, &to, 9).await.unwrap();
        assert!(
            matches!(mixed, Err(MoveError::NotEmpty { table: "orgs" })),
            "{mixed:?}"
        );
        client.batch_execute("DELETE FROM orgs").await.unwrap();
        // Somebody writes into the target while it is filled.
        assert!(move_until(&path, &to, 9).await.is_none());
        let altered = "UPDATE orgs SET created_at = created_at + 1 WHERE org = 'org-3'";
        client.batch_execute(altered).await.unwrap();
        let differs = move_until(&path, &to, usize::MAX).await.unwrap();
        assert!(
            matches!(
                differs,
                Err(MoveError::Differs {
                    table: "orgs",
                    here: 7,
                    there: 7,
                    ..
                })
            ),
            "{differs:?}"
        );
        assert!(matches!(opened(&to).await, Err(OpenError::Arriving)));
        let (_second, other) = populated();
        let second = move_until(&other, &to, 9).await.unwrap();
        assert!(matches!(second, Err(MoveError::OtherMove)), "{second:?}");
        opened(other.to_str().unwrap()).await.unwrap();
    })
    .await;
}
