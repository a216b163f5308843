//! A database of one test, gone with it.

use tempfile::TempDir;
use tokio_postgres::NoTls;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A fresh PostgreSQL database.
pub struct Scratch {
    name: String,
}

impl Scratch {
    pub async fn create() -> Self {
        let name = format!("crash_{}", Uuid::now_v7().simple());
        execute(&server(), &format!("CREATE DATABASE {name}")).await;
        Self { name }
    }

    pub fn url(&self) -> String {
        let server = server();
        let (base, _) = server.rsplit_once('/').expect("an address with a database");
        format!("{base}/{}", self.name)
    }

    pub async fn execute(&self, sql: &str) {
        execute(&self.url(), sql).await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("a runtime")
                .block_on(execute(&server(), &sql));
        });
        // A test that fails has said why already; a database left behind is no second failure.
        let _ = dropping.join();
    }
}

fn server() -> String {
    std::env::var("RUNYARD_TEST_POSTGRES")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

async fn execute(url: &str, sql: &str) {
    let connected = tokio_postgres::connect(url, NoTls).await;
    let (client, connection) = connected.unwrap_or_else(|error| {
        panic!("PostgreSQL does not answer ({error}); start it: cargo xtask services")
    });
    let talking = tokio::spawn(connection);
    client
        .batch_execute(sql)
        .await
        .expect("PostgreSQL does as it is told");
    drop(client);
    talking.await.expect("no panic").expect("an orderly end");
}

/// A folder of one test.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
