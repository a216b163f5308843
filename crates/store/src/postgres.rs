//! The store in PostgreSQL: every verb is one round trip and one commit. The hot ones are functions in the schema, and
//! those that wait at the same time share a statement.

mod agents;
mod approvals;
mod audit;
mod batch;
mod budgets;
mod claims;
mod fault;
mod gates;
mod grants;
mod holds;
mod hot;
mod idempotency;
mod keys;
mod late;
mod logins;
mod notes;
pub(crate) mod open;
mod outbox;
mod parts;
mod pins;
mod pool;
mod results;
mod retention;
mod runs;
mod sessions;
mod threads;
mod usage;
mod workers;

#[cfg(test)]
mod tests;

pub use open::open;

use async_trait::async_trait;
use batch::Batches;
use domain::Timestamp;
use domain::ports::store::{Store, StoreError, StoreResult};
use hot::{Commit, NewRun, NewThread};
use pool::Pool;
use std::sync::Arc;
use std::time::Duration;

/// Names a file's statements, and lists them for the test that prepares every one.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(super) const STATEMENTS: &[&str] = &[$($name),*];
    };
}
use statements;

/// The database's clock in microseconds since 1970, in SQL.
macro_rules! db_now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}
use db_now;

#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// Connections of this process.
    pub connections: usize,
    pub connect_timeout: Duration,
    /// How long a call waits for a free connection: as long as a statement that has it may run.
    pub wait_timeout: Duration,
    /// How long a statement may run, and a little longer than it, how long its answer is waited for.
    pub statement_timeout: Duration,
    /// Certificates (PEM) to trust with `sslmode=require` instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            connections: 16,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(10),
            ca_pem: None,
        }
    }
}

struct PostgresStore {
    pool: Arc<Pool>,
    /// One connection for leases alone: their renewal waits neither for others' statements nor for others' runtime.
    leases: Pool,
    new_threads: Batches<NewThread>,
    new_runs: Batches<NewRun>,
    commits: Batches<Commit>,
}

impl PostgresStore {
    fn new(pool: Pool, leases: Pool) -> Self {
        let pool = Arc::new(pool);
        Self {
            new_threads: Batches::new(Arc::clone(&pool)),
            new_runs: Batches::new(Arc::clone(&pool)),
            commits: Batches::new(Arc::clone(&pool)),
            pool,
            leases,
        }
    }
}

statements! {
    // A standby answers questions but takes no writes.
    CHECK = concat!("INSERT INTO health (id, checked_at) VALUES (1, ", db_now!(), ")
        ON CONFLICT (id) DO UPDATE SET checked_at = excluded.checked_at");
    NOW = concat!("SELECT ", db_now!());
}

#[async_trait]
impl Store for PostgresStore {
    async fn check(&self) -> StoreResult<()> {
        self.pool.write(CHECK, &[]).await?;
        Ok(())
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn system_now(&self) -> StoreResult<Timestamp> {
        let row = self.pool.read_one(NOW, &[]).await?;
        let row = row.ok_or_else(|| StoreError::Rejected("a clock without a time".into()))?;
        Ok(Timestamp::from_micros(pool::get(&row, 0)?))
    }

    async fn close(&self) {
        self.leases.close().await;
        self.pool.close().await;
    }
}
