//! The clock and new ids, for the whole process. Everything else takes time through the port.

use domain::Timestamp;
use domain::ports::clock::Clock;
use domain::ports::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between comparisons with the database's clock.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the clock is read"
        )]
        let now = chrono::Utc::now();
        Timestamp::from_micros(now.timestamp_micros())
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The time of the database, which all servers on it share: what expires does so by one clock, however far the machines'
/// own are apart. On SQLite it is the machine's.
#[derive(Debug, Default)]
pub struct StoreClock {
    /// Microseconds that the database's clock is ahead of the machine's.
    ahead: AtomicI64,
}

impl StoreClock {
    pub async fn of(store: &dyn Store) -> Self {
        let clock = Self::default();
        clock.compare(store).await;
        clock
    }

    /// Follows the database's clock until `stop`.
    pub async fn keep(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(COMPARE_EVERY) => self.compare(&*store).await,
            }
        }
    }

    /// The answer is taken to have been made half-way between question and answer.
    async fn compare(&self, store: &dyn Store) {
        if store.kind() == "sqlite" {
            return;
        }
        let asked = SystemClock.now().as_micros();
        let Ok(theirs) = store.system_now().await else {
            // The last comparison goes on to count.
            return;
        };
        let answered = SystemClock.now().as_micros();
        let ours = asked + (answered - asked) / 2;
        self.ahead
            .store(theirs.as_micros() - ours, Ordering::Relaxed);
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Timestamp::from_micros(SystemClock.now().as_micros() + ahead)
    }

    fn uuid(&self) -> Uuid {
        SystemClock.uuid()
    }
}
