//! Who writes a run from outside its driver passes its turnstile: one at a time, in the order of coming. Without it many
//! writers of one session race for its version, and who loses is left to chance. Other processes have turnstiles of their
//! own; against them a writer tries again, later and later, until its patience is over.
//!
//! The place in front is kept while the store is awaited, which the rule against locks across an await forbids. Here it
//! is what is wanted: who is behind could only lose. It is safe because whoever is in front waits for the store and for
//! the run's driver, and neither ever passes a turnstile.

use crate::{Engine, EngineError};
use domain::limits::WRITE_PATIENCE;
use domain::ports::clock::Clock;
use domain::{OrgId, OrgScope, RunId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The first pause after a write that lost against another process; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(200);

type Key = (OrgId, RunId);

/// The turnstiles that somebody stands at.
#[derive(Default)]
pub(crate) struct Turnstiles {
    map: Mutex<HashMap<Key, Arc<Semaphore>>>,
}

impl Turnstiles {
    /// Waits until everybody who came earlier has left.
    async fn enter(self: &Arc<Self>, key: Key) -> Place {
        let queue = {
            let mut map = self.map.lock().expect("no holder of this lock panics");
            let queue = map.entry(key.clone());
            queue.or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
        };
        let mut place = Place {
            turnstiles: self.clone(),
            key,
            queue: queue.clone(),
            front: None,
        };
        // The semaphore serves in the order of asking.
        place.front = queue.acquire_owned().await.ok();
        place
    }
}

/// In the queue, or in front of it; dropped, the next one's turn comes.
struct Place {
    turnstiles: Arc<Turnstiles>,
    key: Key,
    queue: Arc<Semaphore>,
    front: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut map = self
            .turnstiles
            .map
            .lock()
            .expect("no holder of this lock panics");
        self.front = None;
        // The map's and this one's: nobody else stands here, and nobody can come while the map is locked.
        if Arc::strong_count(&self.queue) == 2 {
            map.remove(&self.key);
        }
    }
}

/// A writer's turn at a run.
pub(crate) struct Writing {
    _place: Place,
    clock: Arc<dyn Clock>,
    deadline: Instant,
    pause: Duration,
}

impl Engine {
    /// Waits for this writer's turn at the run. The run must be read after it has come.
    pub(crate) async fn writing(&self, scope: &OrgScope, run: RunId) -> Writing {
        Writing {
            _place: self.turnstiles.enter((scope.org().clone(), run)).await,
            clock: self.clock.clone(),
            deadline: Instant::now() + WRITE_PATIENCE,
            pause: PAUSE,
        }
    }
}

impl Writing {
    /// Waits a little after the run was written by its driver or by another process.
    ///
    /// # Errors
    /// `Contended` once that has gone on for `limits::WRITE_PATIENCE`.
    pub async fn again(&mut self) -> Result<(), EngineError> {
        if Instant::now() >= self.deadline {
            return Err(EngineError::Contended);
        }
        // Between half the pause and all of it, or two processes would keep step.
        let share = u32::from(self.clock.uuid().as_bytes()[15]);
        tokio::time::sleep(self.pause / 2 + self.pause * share / 512).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
