//! A circuit breaker per lane, fed by the lane's own traffic. It says whether to prefer other lanes; it refuses nothing
//! by itself, because a try beats a refusal when nothing else is left.

use crate::random::Random;
use domain::lane::LaneHealth;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// It opens at so many failures among the last outcomes, if they are at least half of them.
    pub failures: u32,
    /// How many of the last outcomes count, and how old they may be.
    pub outcomes: usize,
    pub span_ms: u64,
    /// How long it stays open at first; it doubles with each failed probe.
    pub cool_down_ms: u64,
    pub cool_down_max_ms: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            outcomes: 20,
            span_ms: 60_000,
            cool_down_ms: 10_000,
            cool_down_max_ms: 120_000,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    random: Arc<Random>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each of the last attempts ended, and whether it failed.
    outcomes: VecDeque<(Instant, bool)>,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    /// Failed probes since it opened.
    round: u32,
    /// One attempt at a time finds out whether the lane is well again.
    probing: bool,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings, random: Arc<Random>) -> Self {
        Self {
            settings,
            random,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole before the lock is given back, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Open` while it cools down or a probe is under way; the next attempt after that is the probe.
    pub(crate) fn health(&self, now: Instant) -> LaneHealth {
        match self.state().open {
            Some(open) if open.probing || now < open.until => LaneHealth::Open,
            Some(_) | None => LaneHealth::Healthy,
        }
    }

    /// An attempt begins.
    pub(crate) fn enter(self: &Arc<Self>, now: Instant) -> Ticket {
        let mut state = self.state();
        let mut probe = false;
        if let Some(open) = &mut state.open
            && !open.probing
            && now >= open.until
        {
            open.probing = true;
            probe = true;
        }
        drop(state);
        Ticket {
            breaker: Arc::clone(self),
            probe,
            settled: false,
        }
    }

    fn failed(&self, probe: bool, now: Instant) {
        let mut state = self.state();
        self.note(&mut state, now, true);
        match &mut state.open {
            Some(open) if probe => {
                open.round = open.round.saturating_add(1);
                open.probing = false;
                open.until = now + self.cool_down(open.round);
            }
            // An attempt that began before it opened, or as a last resort: it is open already.
            Some(_) => {}
            None => {
                let failed = state.outcomes.iter().filter(|(_, failed)| *failed).count();
                if failed >= self.settings.failures as usize && failed * 2 >= state.outcomes.len() {
                    state.open = Some(Open {
                        until: now + self.cool_down(0),
                        round: 0,
                        probing: false,
                    });
                }
            }
        }
    }

    fn succeeded(&self, now: Instant) {
        let mut state = self.state();
        if state.open.take().is_some() {
            state.outcomes.clear();
        }
        self.note(&mut state, now, false);
    }

    fn note(&self, state: &mut State, now: Instant, failed: bool) {
        let span = Duration::from_millis(self.settings.span_ms);
        state.outcomes.push_back((now, failed));
        while state.outcomes.len() > self.settings.outcomes.max(1)
            || state
                .outcomes
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > span)
        {
            state.outcomes.pop_front();
        }
    }

    /// Three quarters of the time, and up to a half more, so that probes of many servers do not fall together.
    fn cool_down(&self, round: u32) -> Duration {
        let longest = Duration::from_millis(self.settings.cool_down_max_ms);
        let first = Duration::from_millis(self.settings.cool_down_ms);
        let whole = first.saturating_mul(1 << round.min(16)).min(longest);
        whole.mul_f64(0.75) + self.random.up_to(whole.mul_f64(0.5))
    }
}

/// One attempt's word to the breaker. Dropped without a word, it says nothing: the caller went away.
#[derive(Debug)]
pub(crate) struct Ticket {
    breaker: Arc<Breaker>,
    probe: bool,
    settled: bool,
}

impl Ticket {
    /// The lane answers: a probe has found out what it was for. The answer may still fail.
    pub(crate) fn alive(&mut self) {
        if self.probe {
            self.probe = false;
            self.breaker.state().open = None;
        }
    }

    pub(crate) fn succeeded(mut self, now: Instant) {
        self.settled = true;
        self.breaker.succeeded(now);
    }

    pub(crate) fn failed(mut self, now: Instant) {
        self.settled = true;
        self.breaker.failed(self.probe, now);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.probe
            && !self.settled
            && let Some(open) = &mut self.breaker.state().open
        {
            open.probing = false;
        }
    }
}

#[cfg(test)]
mod tests;
