//! A database of one test, gone with it.

use tokio::runtime::Builder;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

pub struct Scratch {
    folder: tempfile::TempDir,
    postgres: Option<String>,
}

impl Scratch {
    pub fn new(database: Database) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(format!("server_{}", Uuid::now_v7().simple())),
        };
        let scratch = Self { folder, postgres };
        if let Some(name) = &scratch.postgres {
            scratch.psql(&format!("create database {name}"));
        }
        scratch
    }

    pub fn address(&self) -> String {
        match &self.postgres {
            None => format!(
                "sqlite://{}",
                self.folder.path().join("runyard.db").display()
            ),
            Some(name) => {
                let server = server();
                let (base, _) = server.rsplit_once('/').expect("an address with a database");
                format!("{base}/{name}")
            }
        }
    }

    pub fn remedy(&self) -> &'static str {
        "the test's database cannot be opened; `cargo xtask services` starts PostgreSQL"
    }

    fn psql(&self, statement: &str) {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let connected = tokio_postgres::connect(&server(), tokio_postgres::NoTls).await;
            let (client, connection) =
                connected.unwrap_or_else(|error| panic!("{}: {error}", self.remedy()));
            let talk = tokio::spawn(connection);
            client
                .batch_execute(statement)
                .await
                .expect("the server obeys");
            drop(client);
            talk.await.expect("no panic").expect("a clean end");
        });
    }
}

fn server() -> String {
    std::env::var("RUNYARD_TEST_POSTGRES")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(name) = &self.postgres {
            self.psql(&format!("drop database if exists {name} with (force)"));
        }
    }
}
