//! The schema is brought up to date whole or not at all, and a database that is not ours to touch is refused.

use crate::fixtures::{EVERYTHING, acme, at, thread_of};
use crate::harness::{admin, few_connections, sqlite_file, with_database};
use domain::ports::store::Store;
use futures::FutureExt;
use futures::future::join_all;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use store::sqlite::SqliteSettings;
use store::{OpenError, OpenMode};

async fn sqlite(path: &Path) -> Result<Arc<dyn Store>, OpenError> {
    store::sqlite::open(path, SqliteSettings::default()).await
}

/// Opens, and changes the closed file by hand.
async fn altered(path: &Path, sql: &str) -> Result<Arc<dyn Store>, OpenError> {
    sqlite(path).await.unwrap().close().await;
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
    sqlite(path).await
}

async fn threads(store: &Arc<dyn Store>) -> usize {
    let threads = store.list_threads(acme(), None, EVERYTHING).await;
    threads.unwrap().len()
}

#[tokio::test]
async fn sqlite_keeps_its_data_when_opened_again() {
    let (_folder, path) = sqlite_file();
    for before in 0..3 {
        let store = sqlite(&path).await.unwrap();
        assert_eq!(threads(&store).await, before);
        let thread = thread_of("support", at(1));
        store.create_thread(acme(), &thread, None).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn sqlite_refuses_a_newer_schema() {
    let (_folder, path) = sqlite_file();
    let newer = "INSERT INTO schema_migrations VALUES (999, '0999_future', 'x')";
    let refused = altered(&path, newer).await.err().unwrap();
    let newer = matches!(refused, OpenError::NewerSchema { found: 999, .. });
    assert!(newer, "{refused:?}");
}

#[tokio::test]
async fn sqlite_refuses_a_schema_of_another_make() {
    let (_folder, path) = sqlite_file();
    let edited = "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1";
    let refused = altered(&path, edited).await.err().unwrap();
    let other = matches!(refused, OpenError::AlteredSchema { version: 1 });
    assert!(other, "{refused:?}");
}

#[tokio::test]
async fn sqlite_refuses_somebody_elses_database() {
    let (_folder, path) = sqlite_file();
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE runs (x); INSERT INTO runs VALUES (1)")
        .unwrap();
    let refused = sqlite(&path).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::NotADatabase { .. }),
        "{refused:?}"
    );
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1, "nothing was added to it");
}

#[tokio::test]
async fn sqlite_refuses_a_file_that_is_no_database() {
    let (_folder, path) = sqlite_file();
    std::fs::write(&path, "a letter to my landlord, ".repeat(100)).unwrap();
    let refused = sqlite(&path).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::NotADatabase { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn sqlite_names_a_place_that_cannot_be_written() {
    let (folder, _) = sqlite_file();
    let occupied = folder.path().join("file");
    std::fs::write(&occupied, "").unwrap();
    let refused = sqlite(&occupied.join("runyard.db")).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::Unwritable { .. }),
        "{refused:?}"
    );
}

/// A step that fails leaves the file as it was: the log of steps is written in the same transaction.
#[tokio::test]
async fn sqlite_steps_are_all_or_nothing() {
    let (_folder, path) = sqlite_file();
    let half = "DELETE FROM schema_migrations; DROP TABLE agent_versions";
    let refused = altered(&path, half).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::Migration { .. }),
        "{refused:?}"
    );
    let db = Connection::open(&path).unwrap();
    let count = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM schema_migrations"), 0);
    let dropped = "SELECT count(*) FROM sqlite_schema WHERE name = 'agent_versions'";
    assert_eq!(count(dropped), 0);
}

async fn postgres(address: &str) -> Result<Arc<dyn Store>, OpenError> {
    store::postgres::open(address, few_connections()).await
}

/// Opens, changes the database by hand, and opens again.
async fn altered_postgres(sql: &'static str, check: fn(OpenError)) {
    with_database(|address| {
        async move {
            postgres(&address).await.unwrap().close().await;
            admin(&address, sql).await;
            check(postgres(&address).await.err().unwrap());
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test]
async fn postgres_keeps_its_data_when_opened_again() {
    with_database(|address| {
        async move {
            for before in 0..2 {
                let store = postgres(&address).await.unwrap();
                assert_eq!(threads(&store).await, before);
                let thread = thread_of("support", at(1));
                store.create_thread(acme(), &thread, None).await.unwrap();
                store.close().await;
            }
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test]
async fn postgres_refuses_a_newer_schema() {
    altered_postgres(
        "INSERT INTO schema_migrations VALUES (999, '0999_future', 'x')",
        |refused| {
            let newer = matches!(refused, OpenError::NewerSchema { found: 999, .. });
            assert!(newer, "{refused:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn postgres_refuses_a_schema_of_another_make() {
    altered_postgres(
        "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1",
        |refused| {
            let other = matches!(refused, OpenError::AlteredSchema { version: 1 });
            assert!(other, "{refused:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn postgres_steps_are_all_or_nothing() {
    with_database(|address| {
        async move {
            admin(&address, "CREATE TABLE idempotency (x integer)").await;
            let refused = postgres(&address).await.err().unwrap();
            assert!(
                matches!(refused, OpenError::Migration { .. }),
                "{refused:?}"
            );
            // With the obstacle gone it goes through, so nothing else was left behind.
            admin(&address, "DROP TABLE idempotency").await;
            postgres(&address).await.unwrap().close().await;
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test]
async fn replicas_that_start_together_take_turns() {
    with_database(|address| {
        async move {
            let opened = join_all((0..6).map(|_| postgres(&address))).await;
            for store in opened {
                store.unwrap().close().await;
            }
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test]
async fn an_address_decides_which_store_is_opened() {
    let (_folder, path) = sqlite_file();
    let path = path.to_str().unwrap();
    for address in [
        path.to_owned(),
        format!("sqlite://{path}"),
        format!("sqlite:{path}"),
    ] {
        let store = store::open(&address, OpenMode::Serve).await.unwrap();
        assert_eq!(store.kind(), "sqlite");
        store.close().await;
    }
    let refused = store::open("postgres://nobody@127.0.0.1:1/none", OpenMode::Serve).await;
    let refused = refused.err().unwrap();
    assert!(
        matches!(&refused, OpenError::Connect { host, .. } if host == "127.0.0.1:1"),
        "{refused:?}"
    );
    let refused = store::open("postgres://bad port:x/", OpenMode::Serve).await;
    let refused = refused.err().unwrap();
    assert!(matches!(refused, OpenError::BadAddress(_)), "{refused:?}");
}
