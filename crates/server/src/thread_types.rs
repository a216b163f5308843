//! Which agent each thread belongs to, remembered: it never changes, and a run's creation should not read the store
//! twice. Whether the thread still exists is the store's to say.

use domain::{OrgScope, ThreadId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Threads in one generation; at most two are held.
const GENERATION_MAX: usize = 32_768;

type Generation = HashMap<(ThreadId, OrgScope), Arc<str>>;

/// Bounded by generations: when the young one is full, the old one goes.
#[derive(Default)]
pub struct ThreadTypes {
    generations: Mutex<(Generation, Generation)>,
}

impl ThreadTypes {
    pub fn get(&self, scope: &OrgScope, thread: ThreadId) -> Option<Arc<str>> {
        let generations = self.lock();
        let (young, old) = &*generations;
        let key = (thread, scope.clone());
        young.get(&key).or_else(|| old.get(&key)).cloned()
    }

    pub fn put(&self, scope: &OrgScope, thread: ThreadId, agent_type: &str) {
        let mut generations = self.lock();
        let (young, old) = &mut *generations;
        if young.len() >= GENERATION_MAX {
            *old = std::mem::take(young);
        }
        young.insert((thread, scope.clone()), agent_type.into());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Generation, Generation)> {
        self.generations
            .lock()
            .expect("no holder of this lock panics")
    }
}
