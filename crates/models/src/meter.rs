//! What a lane's attempts came to: counts by org, and the last attempts' times. It judges nothing; the breaker does.

use domain::OrgId;
use domain::lane::{LaneRecent, LaneTraffic, Spread};
use domain::usage::Usage;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Attempts that latencies and the error rate are made from.
const RECENT_MAX: usize = 1_000;
/// Orgs that are counted; those that come later are not.
const ORGS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Meter {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: u64,
    by_org: HashMap<OrgId, LaneTraffic>,
    recent: VecDeque<Ended>,
}

#[derive(Debug, Clone, Copy)]
enum Ended {
    Answered { first_us: u64, whole_us: u64 },
    Failed,
}

impl Meter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt begins.
    pub(crate) fn begin(self: &Arc<Self>, org: &OrgId) -> Trip {
        self.state().in_flight += 1;
        Trip {
            meter: Arc::clone(self),
            org: org.clone(),
            began: Instant::now(),
            first: None,
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.state().in_flight
    }

    pub(crate) fn traffic(&self, org: &OrgId) -> LaneTraffic {
        self.state().by_org.get(org).copied().unwrap_or_default()
    }

    pub(crate) fn recent(&self) -> LaneRecent {
        let state = self.state();
        let (mut first, mut whole, mut failed) = (Vec::new(), Vec::new(), 0);
        for ended in &state.recent {
            match *ended {
                Ended::Answered { first_us, whole_us } => {
                    first.push(first_us);
                    whole.push(whole_us);
                }
                Ended::Failed => failed += 1,
            }
        }
        let attempts = state.recent.len() as u64;
        drop(state);
        LaneRecent {
            attempts,
            failed,
            first_token: Spread::of(first),
            turn: Spread::of(whole),
        }
    }

    fn note(&self, org: &OrgId, ended: Ended, usage: &Usage) {
        let mut state = self.state();
        if state.recent.len() == RECENT_MAX {
            state.recent.pop_front();
        }
        state.recent.push_back(ended);
        if state.by_org.len() >= ORGS_MAX && !state.by_org.contains_key(org) {
            return;
        }
        let traffic = state.by_org.entry(org.clone()).or_default();
        match ended {
            Ended::Answered { .. } => traffic.answered += 1,
            Ended::Failed => traffic.failed += 1,
        }
        traffic.usage.add(usage);
    }
}

/// One attempt under way. Dropped without a word, it is no outcome: its caller went away, or the request was refused.
#[derive(Debug)]
pub(crate) struct Trip {
    meter: Arc<Meter>,
    org: OrgId,
    began: Instant,
    first: Option<Duration>,
}

impl Trip {
    /// The lane answers; only the first word counts.
    pub(crate) fn alive(&mut self) {
        self.first.get_or_insert_with(|| self.began.elapsed());
    }

    pub(crate) fn answered(self, usage: &Usage) {
        let whole = self.began.elapsed();
        let ended = Ended::Answered {
            first_us: micros(self.first.unwrap_or(whole)),
            whole_us: micros(whole),
        };
        self.meter.note(&self.org, ended, usage);
    }

    pub(crate) fn failed(self, usage: &Usage) {
        self.meter.note(&self.org, Ended::Failed, usage);
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        self.meter.state().in_flight -= 1;
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
