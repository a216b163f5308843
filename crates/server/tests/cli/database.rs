//! A PostgreSQL database of one test, gone with it.

use tokio::runtime::Builder;
use tokio_postgres::NoTls;
use uuid::Uuid;

pub struct Database {
    name: String,
}

impl Database {
    pub fn new() -> Self {
        let name = format!("cli_{}", Uuid::now_v7().simple());
        obey(&format!("create database {name}"));
        Self { name }
    }

    pub fn address(&self) -> String {
        let server = server();
        let (base, _) = server.rsplit_once('/').expect("an address with a database");
        format!("{base}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        obey(&format!(
            "drop database if exists {} with (force)",
            self.name
        ));
    }
}

fn server() -> String {
    std::env::var("RUNYARD_TEST_POSTGRES")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

/// On a thread of its own, since a test may have a runtime already.
fn obey(statement: &str) {
    std::thread::scope(|scope| {
        let told = scope.spawn(|| tell(statement));
        told.join().unwrap();
    });
}

fn tell(statement: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connected = tokio_postgres::connect(&server(), NoTls).await;
        let (client, connection) = connected.unwrap_or_else(|error| {
            panic!("no PostgreSQL answers; `cargo xtask services` starts one: {error}")
        });
        let talk = tokio::spawn(connection);
        client.batch_execute(statement).await.unwrap();
        drop(client);
        talk.await.unwrap().unwrap();
    });
}
