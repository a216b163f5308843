//! The two stores, and worlds on them.

use proof::world::{Site, World};
use scripted::Script;
use std::ffi::OsString;

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

    pub async fn world(self) -> World {
        World::new(&self.site()).await
    }

    /// With another mind of the model.
    pub async fn world_with(self, script: Script) -> World {
        World::with(&self.site(), script).await
    }

    pub fn site(self) -> Site {
        Site {
            program: program(),
            folder: std::env::temp_dir(),
            postgres: (self == Self::Postgres).then(server),
        }
    }
}

/// The program just built, or another build of it.
fn program() -> OsString {
    std::env::var_os("RUNYARD_CRASH_PROGRAM")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_runyard").into())
}

fn server() -> String {
    std::env::var("RUNYARD_TEST_POSTGRES")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

/// The number that a query is about.
pub async fn count(url: &str, sql: &str) -> i64 {
    let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("it answers the server too");
    tokio::spawn(connection);
    let row = client.query_one(sql, &[]).await;
    row.expect("PostgreSQL does as it is told").get(0)
}
