//! The clock and new ids, for the whole process. Everything else takes time through the port.

use arc_swap::ArcSwapOption;
use domain::Timestamp;
use domain::ports::clock::Clock;
use domain::ports::store::Store;
use domain::seeded::Seeded;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between comparisons with the database's clock.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// After one comparison, before another that doubt asks for.
const COMPARE_AT_MOST: Duration = Duration::from_secs(1);
/// More than a clock that is being set right by and by strays in a minute.
const DOUBTFUL: Duration = Duration::from_millis(500);

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
/// own are apart, and however they jump: between two comparisons time goes on by the machine's uptime. On SQLite it is the
/// machine's.
#[derive(Debug, Default)]
pub struct StoreClock {
    last: ArcSwapOption<Comparison>,
    /// The machine's clock went another way than its uptime: one of the two has jumped, or the machine slept.
    doubt: Notify,
}

/// The database's clock at one moment.
#[derive(Debug)]
struct Comparison {
    moment: Instant,
    /// The machine's clock then.
    ours: Timestamp,
    theirs: Timestamp,
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
                () = sleep(COMPARE_EVERY) => {}
                () = self.doubt.notified() => {}
            }
            self.compare(&*store).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(COMPARE_AT_MOST) => {}
            }
        }
    }

    /// The answer is taken to have been made half-way between question and answer.
    async fn compare(&self, store: &dyn Store) {
        if store.kind() == "sqlite" {
            return;
        }
        let asked = Instant::now();
        let Ok(theirs) = store.system_now().await else {
            // The last comparison goes on to count.
            return;
        };
        self.last.store(Some(Arc::new(Comparison {
            moment: asked + asked.elapsed() / 2,
            ours: SystemClock.now(),
            theirs,
        })));
    }
}

impl Comparison {
    fn elapsed(&self) -> Duration {
        self.moment.elapsed()
    }

    /// Whether the machine's clock shows another time than it should, now that it shows `ours`.
    fn is_doubtful(&self, ours: Timestamp, elapsed: Duration) -> bool {
        let shown = ours.as_micros() - self.ours.as_micros();
        let expected = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        Duration::from_micros(shown.abs_diff(expected)) > DOUBTFUL
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let ours = SystemClock.now();
        let Some(last) = &*self.last.load() else {
            return ours;
        };
        let elapsed = last.elapsed();
        if last.is_doubtful(ours, elapsed) {
            self.doubt.notify_one();
        }
        if Seeded::JumpFollowed.is_on() {
            let shown = ours.as_micros() - last.ours.as_micros();
            return Timestamp::from_micros(last.theirs.as_micros() + shown);
        }
        last.theirs.plus(elapsed)
    }

    fn uuid(&self) -> Uuid {
        SystemClock.uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_of_the_machines_clock_are_doubted_and_change_nothing() {
        let theirs = Timestamp::from_micros(1_000_000_000_000);
        for (ours, doubtful) in [(0, false), (86_400, true), (-86_400, true)] {
            let shown = SystemClock.now().as_micros() - ours * 1_000_000;
            let comparison = Comparison {
                moment: Instant::now(),
                ours: Timestamp::from_micros(shown),
                theirs,
            };
            let now = SystemClock.now();
            assert_eq!(comparison.is_doubtful(now, comparison.elapsed()), doubtful);
            let clock = StoreClock::default();
            clock.last.store(Some(Arc::new(comparison)));
            assert!(clock.now().since(theirs) < Duration::from_secs(60));
        }
    }
}
