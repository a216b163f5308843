//! Time that tests move by hand: it runs on by itself, and further when told.

use domain::Timestamp;
use domain::ports::clock::Clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const BEGIN: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

pub struct TestClock {
    begun: Instant,
    ahead_s: AtomicU64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            ahead_s: AtomicU64::new(0),
        }
    }
}

impl TestClock {
    pub fn advance(&self, span: Duration) {
        self.ahead_s.fetch_add(span.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_secs(self.ahead_s.load(Ordering::SeqCst));
        BEGIN.plus(self.begun.elapsed()).plus(ahead)
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}
