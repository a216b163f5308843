//! What a turn is given of a conversation. The long part that stands fast is in blocks, which turns share: a turn then
//! costs its newest messages, and not the whole history.

use crate::message::{Content, Message};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Messages that follow each other and never change, with room for how a wire writes them.
#[derive(Debug)]
pub struct Block {
    messages: Vec<Arc<Message>>,
    text_bytes: usize,
    written: OnceLock<Written>,
}

#[derive(Debug)]
struct Written {
    wire: &'static str,
    bytes: Option<Box<[u8]>>,
}

impl Block {
    pub fn new(messages: Vec<Arc<Message>>) -> Self {
        Self {
            text_bytes: messages.iter().map(|message| text_bytes(message)).sum(),
            messages,
            written: OnceLock::new(),
        }
    }

    /// Oldest first.
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Bytes of plain text in it.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The block as `wire` writes it, made by `write` the first time. `None` if the wire cannot write it apart from the
    /// rest, or another wire came first: then its messages are to be written one by one.
    pub fn written(
        &self,
        wire: &'static str,
        write: impl FnOnce(&[Arc<Message>]) -> Option<Vec<u8>>,
    ) -> Option<&[u8]> {
        let written = self.written.get_or_init(|| Written {
            wire,
            bytes: write(&self.messages).map(Vec::into_boxed_slice),
        });
        written.bytes.as_deref().filter(|_| written.wire == wire)
    }
}

/// Bytes of a message's plain text; what else it holds is not counted.
pub fn text_bytes(message: &Message) -> usize {
    match &message.content {
        Content::Text(text) => text.len(),
        Content::Parts(_) => 0,
    }
}

/// A conversation, oldest message first.
#[derive(Debug, Clone, Default)]
pub struct Context {
    blocks: Vec<Arc<Block>>,
    rest: Vec<Arc<Message>>,
}

impl Context {
    /// `rest` follows the blocks.
    pub fn new(blocks: Vec<Arc<Block>>, rest: Vec<Arc<Message>>) -> Self {
        Self { blocks, rest }
    }

    pub fn push(&mut self, message: Arc<Message>) {
        self.rest.push(message);
    }

    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// The messages after the blocks.
    pub fn rest(&self) -> &[Arc<Message>] {
        &self.rest
    }

    pub fn len(&self) -> usize {
        let in_blocks: usize = self.blocks.iter().map(|block| block.messages.len()).sum();
        in_blocks + self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Message>> {
        let blocks = self.blocks.iter().flat_map(|block| &block.messages);
        blocks.chain(&self.rest)
    }

    /// The messages at these places.
    pub fn range(&self, range: Range<usize>) -> impl Iterator<Item = &Arc<Message>> {
        self.iter().skip(range.start).take(range.len())
    }

    /// The place after the last message that is so; 0 if none is.
    pub fn after_last(&self, is_so: impl Fn(&Message) -> bool) -> usize {
        let behind = self.iter().rev().position(|message| is_so(message));
        behind.map_or(0, |behind| self.len() - behind)
    }
}

impl FromIterator<Arc<Message>> for Context {
    fn from_iter<I: IntoIterator<Item = Arc<Message>>>(messages: I) -> Self {
        Self::new(Vec::new(), messages.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Role;
    use crate::{MessageId, Timestamp};
    use uuid::Uuid;

    fn message(text: &str) -> Arc<Message> {
        Arc::new(Message {
            id: MessageId::new(Uuid::nil()),
            role: Role::User,
            content: Content::Text(text.to_owned()),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            reasoning: None,
            run_id: None,
            created_at: Timestamp::from_micros(0),
        })
    }

    fn texts<'a>(messages: impl Iterator<Item = &'a Arc<Message>>) -> String {
        messages.map(|message| message.content.text()).collect()
    }

    #[test]
    fn blocks_and_rest_are_one_conversation() {
        let blocks = [["a", "b"], ["c", "d"]]
            .map(|texts| Arc::new(Block::new(texts.map(message).to_vec())))
            .to_vec();
        let mut context = Context::new(blocks, vec![message("e")]);
        context.push(message("f"));
        assert_eq!((context.len(), texts(context.iter())), (6, "abcdef".into()));
        assert_eq!(texts(context.iter().rev()), "fedcba");
        for (range, expected) in [(0..0, ""), (1..3, "bc"), (3..6, "def"), (5..6, "f")] {
            assert_eq!(texts(context.range(range)), expected);
        }
        let after = |text: &str| context.after_last(|message| message.content.text() == text);
        assert_eq!([after("a"), after("f"), after("x")], [1, 6, 0]);
    }

    #[test]
    fn block_is_written_once_for_the_first_wire() {
        let block = Block::new(vec![message("a"), message("bc")]);
        assert_eq!(block.text_bytes(), 3);
        let first = block.written("one", |messages| Some(vec![messages.len() as u8]));
        assert_eq!(first, Some(&[2][..]));
        assert_eq!(block.written("one", |_| None), Some(&[2][..]));
        assert_eq!(block.written("two", |_| Some(Vec::new())), None);
        let apart = Block::new(Vec::new());
        assert_eq!(apart.written("one", |_| None), None);
        assert_eq!(apart.written("one", |_| Some(Vec::new())), None);
    }
}
