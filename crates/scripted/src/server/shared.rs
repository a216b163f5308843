//! What all connections of a server share: the script, the counters, the requests that are kept,
//! the gates.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::fast::FastScript;
use crate::script::Active;
use crate::{AcceptFault, Outcome, Reply, Request, Script};

/// The state of a server.
#[derive(Debug)]
pub(super) struct Shared {
    started: Instant,
    wants_fast: bool,
    keep: usize,
    active: Mutex<Active>,
    /// Changes with each script, so that a connection knows when what it rendered is stale.
    generation: AtomicU64,
    fast: Mutex<Option<Arc<FastScript>>>,
    /// Requests for an answer.
    calls: AtomicU64,
    kept: Mutex<Kept>,
    gates: watch::Sender<BTreeSet<String>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    next_index: u64,
    requests: VecDeque<Request>,
}

/// A panic of another task while it held the lock says nothing about the data here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(script: Script, wants_fast: bool, keep: usize) -> Self {
        let active = Active::new(script);
        let fast = if wants_fast {
            FastScript::of(&active)
        } else {
            None
        };
        Self {
            started: Instant::now(),
            wants_fast,
            keep,
            active: Mutex::new(active),
            generation: AtomicU64::new(0),
            fast: Mutex::new(fast),
            calls: AtomicU64::new(0),
            kept: Mutex::default(),
            gates: watch::Sender::new(BTreeSet::new()),
            changes: watch::Sender::new(0),
        }
    }

    pub fn play(&self, script: Script) {
        let active = Active::new(script);
        *lock(&self.fast) = if self.wants_fast {
            FastScript::of(&active)
        } else {
            None
        };
        *lock(&self.active) = active;
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub fn push(&self, reply: Reply) {
        let mut active = lock(&self.active);
        active.script.replies.push_back(reply);
        // A script with a queue is not one for the fast mode.
        *lock(&self.fast) = None;
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn fast_script(&self) -> Option<Arc<FastScript>> {
        lock(&self.fast).clone()
    }

    pub fn accept_fault(&self) -> AcceptFault {
        lock(&self.active).script.accept
    }

    /// Runs `read` on the script.
    pub fn with_script<T>(&self, read: impl FnOnce(&Script) -> T) -> T {
        read(&lock(&self.active).script)
    }

    pub fn choose(&self, request: &Request) -> Reply {
        lock(&self.active).choose(request)
    }

    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The number of the next request for an answer, from 0.
    pub fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    pub fn count(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Keeps the request and gives it its index.
    pub fn keep(&self, request: &mut Request) {
        let mut kept = lock(&self.kept);
        request.index = kept.next_index;
        kept.next_index += 1;
        if kept.requests.len() >= self.keep {
            kept.requests.pop_front();
        }
        kept.requests.push_back(request.clone());
        drop(kept);
        self.changed();
    }

    pub fn set_outcome(&self, index: u64, outcome: Outcome) {
        let mut kept = lock(&self.kept);
        if let Some(request) = kept
            .requests
            .iter_mut()
            .rev()
            .find(|held| held.index == index)
        {
            request.outcome = outcome;
        }
        drop(kept);
        self.changed();
    }

    pub fn requests(&self) -> Vec<Request> {
        lock(&self.kept).requests.iter().cloned().collect()
    }

    pub fn clear(&self) {
        lock(&self.kept).requests.clear();
        self.changed();
    }

    pub fn open_gate(&self, name: &str) {
        self.gates.send_modify(|open| {
            open.insert(name.to_owned());
        });
    }

    pub async fn gate(&self, name: &str) {
        let mut gates = self.gates.subscribe();
        // The sender lives as long as `self`, so this ends only when the gate is open.
        let _ = gates.wait_for(|open| open.contains(name)).await;
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
