//! Writes that wait are sent together: one statement, one commit and one answer for as many as have gathered while the
//! one before was on its way. A lone write waits for nobody.

use super::pool::Pool;
use async_trait::async_trait;
use domain::ports::store::{StoreError, StoreResult};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Writes of one statement.
const BATCH_MAX: usize = 64;
/// Statements of one kind under way at once; with more, batches get smaller and nothing gets faster.
const UNDER_WAY_MAX: usize = 2;
/// Writes that may wait; more are refused at once, which is better than answering them too late.
const WAITING_MAX: usize = 16_384;

/// A kind of write that can be made for many at once.
#[async_trait]
pub(super) trait Batched: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Two writes with the same one never share a statement.
    fn conflict_key(&self) -> Uuid;

    /// One statement; the answers are in the order of the writes.
    async fn write_many(pool: &Pool, writes: &[Self]) -> StoreResult<Vec<Self::Answer>>
    where
        Self: Sized;
}

/// A batch failed whole, and every write of it with it.
#[derive(Debug, thiserror::Error)]
#[error("a statement shared with other writes failed")]
struct Shared(#[source] Arc<StoreError>);

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("too many writes are waiting")]
    QueueFull,
    #[error("the task that wrote was stopped")]
    WriterGone,
}

struct Entry<W: Batched> {
    write: W,
    reply: oneshot::Sender<StoreResult<W::Answer>>,
}

struct Queue<W: Batched> {
    waiting: VecDeque<Entry<W>>,
    under_way: usize,
}

pub(super) struct Batches<W: Batched> {
    queue: Arc<Mutex<Queue<W>>>,
    pool: Arc<Pool>,
    /// The runtime that the store was opened on. A turn serves the writes of others too, so it must not end with the
    /// runtime of whoever began it.
    runtime: Handle,
}

impl<W: Batched> Batches<W> {
    pub fn new(pool: Arc<Pool>) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            under_way: 0,
        };
        Self {
            queue: Arc::new(Mutex::new(queue)),
            pool,
            runtime: Handle::current(),
        }
    }

    /// Returns once the write is committed. A caller that stops waiting does not stop it.
    pub async fn write(&self, write: W) -> StoreResult<W::Answer> {
        let answer = self.submit(write)?;
        // Gone only if the writing task panicked: what it was writing may be committed.
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::UnknownOutcome(Box::new(Trouble::WriterGone))))
    }

    fn submit(&self, write: W) -> StoreResult<oneshot::Receiver<StoreResult<W::Answer>>> {
        let (reply, answer) = oneshot::channel();
        let mut queue = lock(&self.queue);
        if queue.waiting.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable(Box::new(Trouble::QueueFull)));
        }
        queue.waiting.push_back(Entry { write, reply });
        if queue.under_way < UNDER_WAY_MAX {
            queue.under_way += 1;
            let turn = Turn {
                queue: Arc::clone(&self.queue),
                is_over: false,
            };
            self.runtime.spawn(turn.serve(Arc::clone(&self.pool)));
        }
        Ok(answer)
    }
}

fn lock<W: Batched>(queue: &Mutex<Queue<W>>) -> MutexGuard<'_, Queue<W>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to have a statement under way, given back at the end, also that of a panic.
struct Turn<W: Batched> {
    queue: Arc<Mutex<Queue<W>>>,
    is_over: bool,
}

impl<W: Batched> Drop for Turn<W> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = lock(&self.queue);
        queue.under_way -= 1;
        if queue.under_way == 0 {
            // Nobody is left to serve them before the next write comes.
            for entry in queue.waiting.drain(..) {
                let gone = StoreError::Unavailable(Box::new(Trouble::WriterGone));
                let _ = entry.reply.send(Err(gone));
            }
        }
    }
}

impl<W: Batched> Turn<W> {
    async fn serve(mut self, pool: Arc<Pool>) {
        while let Some((writes, replies)) = self.gather() {
            match W::write_many(&pool, &writes).await {
                Ok(answers) => {
                    for (reply, answer) in replies.into_iter().zip(answers) {
                        // The caller may have gone away; the write stands.
                        let _ = reply.send(Ok(answer));
                    }
                }
                Err(error) if writes.len() > 1 && is_of_one(&error) => {
                    for (write, reply) in writes.into_iter().zip(replies) {
                        let answer = alone(&pool, write).await;
                        let _ = reply.send(answer);
                    }
                }
                Err(error) => fail(replies, error),
            }
        }
    }

    /// What waits, each conflict key once. `None` when nothing does; then the turn is over in the same moment, so that a
    /// write that comes later starts one of its own.
    #[expect(
        clippy::type_complexity,
        reason = "two parallel lists, taken apart at once"
    )]
    fn gather(&mut self) -> Option<(Vec<W>, Vec<oneshot::Sender<StoreResult<W::Answer>>>)> {
        let shared = Arc::clone(&self.queue);
        let mut queue = lock(&shared);
        let mut keys = HashSet::new();
        let (mut writes, mut replies) = (Vec::new(), Vec::new());
        let mut later = VecDeque::new();
        while writes.len() < BATCH_MAX {
            let Some(entry) = queue.waiting.pop_front() else {
                break;
            };
            if keys.insert(entry.write.conflict_key()) {
                writes.push(entry.write);
                replies.push(entry.reply);
            } else {
                later.push_back(entry);
            }
        }
        later.append(&mut queue.waiting);
        queue.waiting = later;
        if writes.is_empty() {
            queue.under_way -= 1;
            drop(queue);
            self.is_over = true;
            return None;
        }
        Some((writes, replies))
    }
}

fn fail<A>(mut replies: Vec<oneshot::Sender<StoreResult<A>>>, error: StoreError) {
    if replies.len() == 1
        && let Some(only) = replies.pop()
    {
        let _ = only.send(Err(error));
        return;
    }
    let error = Arc::new(error);
    for reply in replies {
        let _ = reply.send(Err(copy(&error)));
    }
}

async fn alone<W: Batched>(pool: &Pool, write: W) -> StoreResult<W::Answer> {
    let answers = W::write_many(pool, &[write]).await?;
    let answer = answers.into_iter().next();
    answer.ok_or_else(|| StoreError::Rejected("a write without an answer".into()))
}

/// The error can be one write's own fault, and the statement wrote nothing.
fn is_of_one(error: &StoreError) -> bool {
    match error {
        StoreError::Rejected(_)
        | StoreError::Corrupt { .. }
        | StoreError::Stale
        | StoreError::GrantGone => true,
        StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::UnknownOutcome(_) => false,
    }
}

fn copy(error: &Arc<StoreError>) -> StoreError {
    let shared = Box::new(Shared(Arc::clone(error)));
    match error.as_ref() {
        StoreError::Unavailable(_) => StoreError::Unavailable(shared),
        StoreError::Full(_) => StoreError::Full(shared),
        StoreError::UnknownOutcome(_) => StoreError::UnknownOutcome(shared),
        StoreError::Stale
        | StoreError::GrantGone
        | StoreError::Corrupt { .. }
        | StoreError::Rejected(_) => StoreError::Rejected(shared),
    }
}
