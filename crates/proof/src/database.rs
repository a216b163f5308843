//! A PostgreSQL database of one world, gone with it.

use tokio_postgres::NoTls;
use uuid::Uuid;

/// A fresh PostgreSQL database.
pub struct Scratch {
    /// A database of the server that makes it.
    server: String,
    name: String,
}

impl Scratch {
    pub async fn create(server: &str) -> Self {
        let name = format!("crash_{}", Uuid::now_v7().simple());
        execute(server, &format!("CREATE DATABASE {name}")).await;
        Self {
            server: server.to_owned(),
            name,
        }
    }

    pub fn url(&self) -> String {
        let (base, _) = self
            .server
            .rsplit_once('/')
            .expect("an address with a database");
        format!("{base}/{}", self.name)
    }

    pub async fn execute(&self, sql: &str) {
        execute(&self.url(), sql).await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(execute(&server, &sql));
        });
        // What fails has said why already; a database left behind is no second failure.
        let _ = dropping.join();
    }
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
