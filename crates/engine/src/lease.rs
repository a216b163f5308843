//! How sure this process can be, by its own clock, that its lease still stands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the lease was last renewed. The clock behind it does not go back, and goes on while the process is stopped.
pub(crate) struct Lease {
    length: Duration,
    origin: Instant,
    /// Milliseconds after `origin` at which the last renewal that succeeded was asked for.
    renewed: AtomicU64,
    tenure: AtomicU64,
}

impl Lease {
    /// Renewed at `from`.
    pub fn new(length: Duration, from: Instant) -> Self {
        Self {
            length,
            origin: from,
            renewed: AtomicU64::new(0),
            tenure: AtomicU64::new(0),
        }
    }

    /// `asked` is the moment before the store was asked: it counts the lease from a later one.
    pub fn renewed(&self, asked: Instant) {
        let millis = asked.saturating_duration_since(self.origin).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.renewed.fetch_max(millis, Ordering::SeqCst);
    }

    /// A new lease after the old one was lost: what was held under that is not held under this.
    pub fn begun_anew(&self, asked: Instant) {
        self.tenure.fetch_add(1, Ordering::SeqCst);
        self.renewed(asked);
    }

    /// Which of this process's leases it is. Runs are held under one of them.
    pub fn tenure(&self) -> u64 {
        self.tenure.load(Ordering::SeqCst)
    }

    /// Nobody else can have been given this worker's runs. False says only that it is not known.
    pub fn stands(&self, now: Instant) -> bool {
        let renewed = self.origin + Duration::from_millis(self.renewed.load(Ordering::SeqCst));
        now.saturating_duration_since(renewed) < self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_stands_for_its_length_after_the_renewal_was_asked_for() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let lease = Lease::new(Duration::from_secs(10), begun);
        assert!(lease.stands(after(9)));
        assert!(!lease.stands(after(10)));
        lease.renewed(after(8));
        assert!(lease.stands(after(17)));
        assert!(!lease.stands(after(18)));
        // An answer that comes late says nothing newer.
        lease.renewed(after(4));
        assert!(lease.stands(after(17)));
    }
}
