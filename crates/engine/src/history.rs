//! Conversation histories in memory, so that a turn costs what is new. The store stays the truth: a history is used only
//! if its length is the thread's.

use domain::context::{Block, Context};
use domain::message::Message;
use domain::ports::store::{Store, StoreResult};
use domain::{OrgId, OrgScope, ThreadId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A thread's messages, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    messages: Vec<Arc<Message>>,
    /// Those at the beginning, as turns are given them.
    blocks: Vec<Arc<Block>>,
    /// How many messages the blocks hold.
    in_blocks: usize,
    bytes: usize,
}

/// Messages of a block.
const BLOCK_MESSAGES: usize = 64;

impl History {
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    pub fn extend(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.bytes += size_of(&message);
            self.messages.push(Arc::new(message));
        }
        for block in self.messages[self.in_blocks..].chunks_exact(BLOCK_MESSAGES) {
            let block = Block::new(block.to_vec());
            // A block holds its texts again, as a wire writes them.
            self.bytes += block.text_bytes() + 96 * BLOCK_MESSAGES;
            self.in_blocks += BLOCK_MESSAGES;
            self.blocks.push(Arc::new(block));
        }
    }

    /// What a turn is given.
    pub fn context(&self) -> Context {
        let rest = self.messages[self.in_blocks..].to_vec();
        Context::new(self.blocks.clone(), rest)
    }
}

/// Rough, for the cache's bound only.
fn size_of(message: &Message) -> usize {
    let calls: usize = message
        .tool_calls
        .iter()
        .map(|call| 64 + call.arguments.to_string().len())
        .sum();
    256 + message.content.text().len() + calls
}

/// Histories that no run has, bounded by two generations: when the young one is full, the old one goes. A history is
/// taken out whole, so that the next turn adds to it without a copy.
pub(crate) struct Histories {
    generations: Mutex<[Generation; 2]>,
    /// Of one generation.
    bytes_max: usize,
}

#[derive(Default)]
struct Generation {
    histories: HashMap<(OrgId, ThreadId), History>,
    bytes: usize,
}

impl Generation {
    fn take(&mut self, key: &(OrgId, ThreadId)) -> Option<History> {
        let history = self.histories.remove(key)?;
        self.bytes -= history.bytes;
        Some(history)
    }
}

impl Histories {
    pub fn new(bytes_max: u64) -> Self {
        Self {
            generations: Mutex::default(),
            bytes_max: usize::try_from(bytes_max / 2).unwrap_or(usize::MAX),
        }
    }

    fn take(&self, scope: &OrgScope, thread: ThreadId) -> Option<History> {
        let key = (scope.org().clone(), thread);
        let mut generations = self.lock();
        let [young, old] = &mut *generations;
        young.take(&key).or_else(|| old.take(&key))
    }

    pub fn keep(&self, scope: &OrgScope, thread: ThreadId, history: History) {
        if history.bytes > self.bytes_max {
            return;
        }
        let key = (scope.org().clone(), thread);
        let gone = {
            let mut generations = self.lock();
            let [young, old] = &mut *generations;
            old.take(&key);
            young.take(&key);
            let mut gone = Generation::default();
            if young.bytes + history.bytes > self.bytes_max {
                gone = std::mem::replace(old, std::mem::take(young));
            }
            young.bytes += history.bytes;
            young.histories.insert(key, history);
            gone
        };
        if !gone.histories.is_empty() {
            // Many small pieces to give back: not on a thread that others wait for.
            tokio::task::spawn_blocking(move || drop(gone));
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Generation; 2]> {
        self.generations
            .lock()
            .expect("no holder of this lock panics")
    }

    /// The history of a thread that holds `count` messages, the last of which are `new`.
    pub async fn load(
        &self,
        store: &Arc<dyn Store>,
        scope: &OrgScope,
        thread: ThreadId,
        new: Vec<Message>,
        count: u32,
    ) -> StoreResult<History> {
        let count = count as usize;
        let mut history = if new.len() == count {
            History::default()
        } else {
            match self.take(scope, thread) {
                Some(history) if history.messages.len() + new.len() == count => history,
                Some(_) | None => return self.read(store, scope, thread).await,
            }
        };
        history.extend(new);
        Ok(history)
    }

    pub async fn read(
        &self,
        store: &Arc<dyn Store>,
        scope: &OrgScope,
        thread: ThreadId,
    ) -> StoreResult<History> {
        let mut history = History::default();
        history.extend(store.thread_messages(scope, thread).await?);
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::message::{Content, Role};
    use domain::{MessageId, Timestamp};
    use uuid::Uuid;

    fn history(text: &str) -> History {
        let mut history = History::default();
        history.extend(vec![message(text)]);
        history
    }

    fn message(text: &str) -> Message {
        Message {
            id: MessageId::new(Uuid::nil()),
            role: Role::User,
            content: Content::Text(text.to_owned()),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            reasoning: None,
            run_id: None,
            created_at: Timestamp::from_micros(0),
        }
    }

    fn thread(number: u128) -> ThreadId {
        ThreadId::new(Uuid::from_u128(number))
    }

    #[test]
    fn turn_is_given_every_message_once_however_they_came() {
        let mut history = History::default();
        let mut told = Vec::new();
        for portion in [1, 2, 60, 1, 1, 130, 3] {
            let texts: Vec<String> = (0..portion).map(|n| (told.len() + n).to_string()).collect();
            history.extend(texts.iter().map(|text| message(text)).collect());
            told.extend(texts);
            let context = history.context();
            let given: Vec<String> = context.iter().map(|it| it.content.text()).collect();
            assert_eq!(given, told);
            assert!(context.rest().len() < BLOCK_MESSAGES);
        }
        assert_eq!(history.context().blocks().len(), 3);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let scope = OrgScope::new(OrgId::new("acme").unwrap());
        let each = history("hello").bytes as u64;
        let histories = Histories::new(each * 4);
        for number in 0..5 {
            histories.keep(&scope, thread(number), history("hello"));
        }
        let held = |number| histories.take(&scope, thread(number)).is_some();
        assert_eq!([0, 1, 2, 3, 4].map(held), [false, false, true, true, true]);
        let bytes = |generation: &Generation| generation.bytes;
        assert_eq!(histories.lock().each_ref().map(bytes), [0, 0]);
    }

    #[tokio::test]
    async fn an_org_does_not_find_what_another_kept() {
        let scope = |org| OrgScope::new(OrgId::new(org).unwrap());
        let histories = Histories::new(1 << 20);
        histories.keep(&scope("acme"), thread(1), history("hello"));
        assert!(histories.take(&scope("rival"), thread(1)).is_none());
        assert!(histories.take(&scope("acme"), thread(1)).is_some());
    }
}
