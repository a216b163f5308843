//! A store of one's own for each test: a file in a temporary folder, or a schema that is dropped at the end. Tests that
//! meddle with the database itself get one of their own, which takes longer.

use domain::ports::store::Store;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use store::postgres::PostgresSettings;
use store::sqlite::SqliteSettings;
use tempfile::TempDir;
use tokio_postgres::NoTls;

const DEFAULT_SERVER: &str = "postgres://postgres@127.0.0.1:5432/postgres";

pub struct Harness {
    pub store: Arc<dyn Store>,
}

/// Makes each named function two tests, one on each store.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::harness::on_sqlite(|h| Box::pin(super::$name(h))).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::harness::on_postgres(|h| Box::pin(super::$name(h))).await;
            })*
        }
    };
}
pub(crate) use on_both;

pub async fn on_sqlite(test: impl for<'a> FnOnce(&'a Harness) -> BoxFuture<'a, ()>) {
    let (_folder, path) = sqlite_file();
    let store = store::sqlite::open(&path, SqliteSettings::default())
        .await
        .unwrap();
    let harness = Harness { store };
    test(&harness).await;
    harness.store.close().await;
}

pub async fn on_postgres(test: impl for<'a> FnOnce(&'a Harness) -> BoxFuture<'a, ()>) {
    let server = server();
    let name = new_name();
    admin(&server, &format!("CREATE SCHEMA {name}")).await;
    let separator = if server.contains('?') { '&' } else { '?' };
    let address = format!("{server}{separator}options=-c%20search_path%3D{name}");
    let tested = async {
        let store = store::postgres::open(&address, few_connections())
            .await
            .unwrap();
        let harness = Harness { store };
        test(&harness).await;
        harness.store.close().await;
    };
    let outcome = AssertUnwindSafe(tested).catch_unwind().await;
    admin(&server, &format!("DROP SCHEMA {name} CASCADE")).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn server() -> String {
    std::env::var("RUNYARD_TEST_POSTGRES").unwrap_or_else(|_| DEFAULT_SERVER.to_owned())
}

fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("runyard_store_{}_{number}", std::process::id())
}

pub fn sqlite_file() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runyard.db");
    (folder, path)
}

/// Tests of several crates share one server and its limit of connections.
pub fn few_connections() -> PostgresSettings {
    PostgresSettings {
        connections: 4,
        ..PostgresSettings::default()
    }
}

/// Runs `test` with the address of an empty database and drops that afterwards, also when the test fails.
pub async fn with_database<'a>(
    test: impl FnOnce(String) -> futures::future::LocalBoxFuture<'a, ()>,
) {
    let (server, name) = (server(), new_name());
    admin(&server, &format!("CREATE DATABASE {name}")).await;
    let (base, _) = server
        .rsplit_once('/')
        .expect("the address ends in a database's name");
    let outcome = AssertUnwindSafe(test(format!("{base}/{name}")))
        .catch_unwind()
        .await;
    admin(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Runs SQL on a connection of its own.
pub async fn admin(address: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(address, NoTls)
        .await
        .unwrap_or_else(|error| {
            panic!("no PostgreSQL at {address} ({error}); `cargo xtask services` starts one")
        });
    let task = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    task.await.unwrap().unwrap();
}
