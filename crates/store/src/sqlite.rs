//! The store in one SQLite file: WAL, `synchronous=FULL`, one writer thread whose commits are shared by all jobs that
//! wait, and a few read-only connections.

mod agents;
mod approvals;
pub(crate) mod audit;
mod budgets;
mod claims;
mod commit;
mod copy;
mod create;
mod fault;
mod gates;
mod grants;
mod holds;
mod idempotency;
mod keys;
mod late;
mod log;
mod logins;
pub(crate) mod open;
mod outbox;
mod pins;
mod readers;
mod results;
mod retention;
mod runs;
mod sessions;
mod threads;
mod usage;
mod workers;
mod writer;

#[cfg(test)]
mod tests;

pub use copy::{Copied, CopyError, back_up, bring_back, inspect};
pub use open::open;

use crate::OpenMode;
use async_trait::async_trait;
use domain::Timestamp;
use domain::ports::store::{Store, StoreResult};
use fault::Work;
use readers::Readers;
use rusqlite::{Connection, params};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use writer::Writer;

/// Names a file's statements, and lists them for the test that prepares every one.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(super) const STATEMENTS: &[&str] = &[$($name),*];
    };
}
use statements;

#[derive(Debug, Clone)]
pub struct SqliteSettings {
    pub mode: OpenMode,
    /// Read-only connections; each query holds one.
    pub readers: usize,
    /// How long a statement waits for another process's write.
    pub busy_timeout: Duration,
    /// Pages (4 KiB) of log after which they are moved into the file.
    pub checkpoint_pages: u32,
    /// Ceiling of the file's size in pages; `None` for SQLite's own.
    pub pages_max: Option<u32>,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            mode: OpenMode::Serve,
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            checkpoint_pages: 8000,
            pages_max: None,
        }
    }
}

struct SqliteStore {
    writer: Writer,
    readers: Readers,
    leases: LeaseClock,
}

/// Time that leases go by: it does not jump with the wall clock. It begins anew with each process, which is why opening
/// to serve forgets all earlier workers.
#[derive(Debug, Clone, Copy)]
struct LeaseClock {
    zero: Instant,
}

impl LeaseClock {
    fn now(self) -> i64 {
        i64::try_from(self.zero.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl SqliteStore {
    /// `work` may be done more than once before the one time that counts.
    async fn write<T, F>(&self, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Work<T> + Send + 'static,
    {
        self.writer.write(work).await
    }

    async fn read<T, F>(&self, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Work<T> + Send + 'static,
    {
        self.readers.read(work).await
    }
}

statements! {
    CHECK_WRITE = "INSERT INTO health (id, checked_at) VALUES (1, ?1)
        ON CONFLICT (id) DO UPDATE SET checked_at = excluded.checked_at";
    CHECK_READ = "SELECT count(*) FROM health";
}

#[async_trait]
impl Store for SqliteStore {
    async fn check(&self) -> StoreResult<()> {
        let now = self.system_now().await?.as_micros();
        self.write(move |db| {
            db.prepare_cached(CHECK_WRITE)?.execute(params![now])?;
            Ok(())
        })
        .await?;
        self.read(|db| {
            db.prepare_cached(CHECK_READ)?
                .query_row([], |row| row.get::<_, i64>(0))?;
            Ok(())
        })
        .await
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a file has no clock of its own: this is the store's"
    )]
    async fn system_now(&self) -> StoreResult<Timestamp> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Timestamp::from_micros(0).plus(since))
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
