//! What this process has done since it started, in numbers. Kept for whoever watches it; nothing here decides anything.

use crate::Engine;
use domain::OrgScope;
use domain::ports::store::{Committed, Expected, Holder, StoreResult};
use domain::run::{RunStatus, Transition};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds of the classes of a commit's time, in microseconds; longer ones are in the last class.
const BOUNDS_US: [u64; 10] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
];

#[derive(Default)]
pub(crate) struct Counters {
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    lease_renewals: AtomicU64,
    commits: [AtomicU64; BOUNDS_US.len() + 1],
    commits_us: AtomicU64,
}

/// The numbers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Runs and sessions made here.
    pub runs_started: u64,
    /// Ends that this process wrote, by status.
    pub runs_ended: [(RunStatus, u64); 3],
    pub lease_renewals: u64,
    /// Writes of runs, by how long the store took.
    pub commits: Timings,
}

/// How long something took, in classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// How many took no longer than each bound.
    pub within: Vec<(Duration, u64)>,
    pub count: u64,
    pub sum: Duration,
}

impl Counters {
    pub fn renewed(&self) {
        self.lease_renewals.fetch_add(1, Ordering::Relaxed);
    }

    pub fn started(&self, begun: Instant) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.committed(begun);
    }

    fn ended(&self, status: RunStatus) {
        let counter = match status {
            RunStatus::Completed => &self.completed,
            RunStatus::Failed => &self.failed,
            RunStatus::Cancelled => &self.cancelled,
            RunStatus::Queued | RunStatus::Running | RunStatus::AwaitingApproval => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn committed(&self, begun: Instant) {
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS_US.partition_point(|bound| *bound < took);
        self.commits[class].fetch_add(1, Ordering::Relaxed);
        self.commits_us.fetch_add(took, Ordering::Relaxed);
    }

    fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut count = 0;
        let mut classes = self.commits.iter().map(|class| {
            count += of(class);
            count
        });
        let within = BOUNDS_US.map(Duration::from_micros);
        let within = within.into_iter().zip(&mut classes).collect();
        let count = classes.last().unwrap_or_default();
        Counts {
            runs_started: of(&self.started),
            runs_ended: [
                (RunStatus::Completed, of(&self.completed)),
                (RunStatus::Failed, of(&self.failed)),
                (RunStatus::Cancelled, of(&self.cancelled)),
            ],
            lease_renewals: of(&self.lease_renewals),
            commits: Timings {
                within,
                count,
                sum: Duration::from_micros(of(&self.commits_us)),
            },
        }
    }
}

impl Engine {
    /// What this process has done since it started.
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// The store's `commit_run`, counted.
    pub(crate) async fn commit_run(
        &self,
        scope: &OrgScope,
        transition: &Transition,
        expected: Expected,
        holder: Holder,
    ) -> StoreResult<Committed> {
        let begun = Instant::now();
        let committed = self
            .store
            .commit_run(scope, transition, expected, holder)
            .await?;
        self.counters.committed(begun);
        self.counters.ended(transition.run.status());
        Ok(committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_is_within_their_bound() {
        let counters = Counters::default();
        counters.commits[0].store(2, Ordering::Relaxed);
        counters.commits[3].store(5, Ordering::Relaxed);
        counters.commits[BOUNDS_US.len()].store(1, Ordering::Relaxed);
        let Timings { within, count, .. } = counters.counts().commits;
        let counts: Vec<u64> = within.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 2, 2, 7, 7, 7, 7, 7, 7, 7]);
        assert_eq!(count, 8);
    }
}
