//! Small functions that make a reply.

use super::{
    Arguments, Echo, ErrorKind, ErrorReply, Finish, Flood, Pace, Part, RawReply, Reply, Tokens,
    ToolCall, Usage,
};
use crate::{CallIds, Cut, CutAt, CutHow, Ending, Stall, StreamError};

/// Begins a reply.
pub fn reply() -> ReplyBuilder {
    ReplyBuilder(Reply::default())
}

/// A reply in the making.
#[derive(Debug, Clone)]
#[must_use]
pub struct ReplyBuilder(Reply);

impl ReplyBuilder {
    /// The reply.
    #[must_use]
    pub fn build(self) -> Reply {
        self.0
    }

    fn part(mut self, part: Part) -> Self {
        self.0.parts.push(part);
        self
    }

    /// These parts.
    pub fn parts(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.0.parts.extend(parts);
        self
    }

    /// Reasoning, word by word.
    pub fn reasoning(self, text: &str) -> Self {
        self.part(Part::Reasoning(words(text)))
    }

    /// One token of text.
    pub fn text(self, text: &str) -> Self {
        self.part(Part::Text(Tokens(vec![text.to_owned()])))
    }

    /// Text, word by word; the pieces joined are the text.
    pub fn text_words(self, text: &str) -> Self {
        self.part(Part::Text(words(text)))
    }

    /// Text, token by token.
    pub fn text_tokens<I, S>(self, tokens: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.part(Part::Text(Tokens(
            tokens.into_iter().map(Into::into).collect(),
        )))
    }

    /// So many short tokens: `tok0 tok1 …`.
    pub fn token_count(self, count: usize) -> Self {
        self.text_tokens((0..count).map(|index| format!("tok{index} ")))
    }

    /// One chunk of text made of these bytes, valid UTF-8 or not.
    pub fn text_bytes(self, bytes: &[u8]) -> Self {
        self.part(Part::TextBytes(bytes.to_vec()))
    }

    /// Text taken from the request.
    pub fn echo(self, echo: Echo) -> Self {
        self.part(Part::Echo(echo))
    }

    /// A call with this id. `arguments` is sent as it is, broken JSON too.
    pub fn tool_call(self, id: &str, name: &str, arguments: &str) -> Self {
        self.call(Some(id.to_owned()), name, arguments)
    }

    /// A call whose id is made up, distinct for each answer.
    pub fn tool_call_made_up(self, name: &str, arguments: &str) -> Self {
        self.call(None, name, arguments)
    }

    fn call(self, id: Option<String>, name: &str, arguments: &str) -> Self {
        let arguments = Arguments(arguments.to_owned());
        self.part(Part::ToolCall(ToolCall {
            id,
            name: name.to_owned(),
            arguments,
        }))
    }

    /// Waits here until [`crate::Server::open_gate`] is called with the name.
    pub fn hold(self, gate: &str) -> Self {
        self.part(Part::Hold(gate.to_owned()))
    }

    /// `count` equal tokens of text; without end if `None`.
    pub fn flood(self, token: &str, count: Option<u64>) -> Self {
        self.part(Part::Flood(Flood {
            token: token.to_owned(),
            count,
        }))
    }

    /// The finish reason, in place of the derived one.
    pub fn finish(mut self, finish: Finish) -> Self {
        self.0.finish = Some(finish);
        self
    }

    /// The usage, in place of one made up.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.0.usage = Some(usage);
        self
    }

    /// Wait before the first byte, in milliseconds.
    pub fn first_byte_ms(mut self, wait: u64) -> Self {
        self.0.pace.first_byte_ms = wait;
        self
    }

    /// Wait between chunks, in milliseconds.
    pub fn between_ms(mut self, wait: u64) -> Self {
        self.0.pace.between_ms = wait;
        self
    }

    /// The whole pace.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.0.pace = pace;
        self
    }

    /// One more response header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An error of the kind in place of an answer, as the provider words it.
    pub fn error(mut self, kind: ErrorKind) -> Self {
        self.0.error = Some(ErrorReply {
            kind,
            status: None,
            message: None,
            retry_after: None,
            echo_credentials: false,
        });
        self
    }

    /// An error in place of an answer, told in full.
    pub fn error_reply(mut self, error: ErrorReply) -> Self {
        self.0.error = Some(error);
        self
    }

    /// A body word for word in place of an answer.
    pub fn raw(mut self, raw: RawReply) -> Self {
        self.0.raw = Some(raw);
        self
    }

    /// An error object inside the stream after so many chunks.
    pub fn stream_error(mut self, after_chunks: usize, kind: ErrorKind) -> Self {
        let error = StreamError {
            after_chunks,
            kind,
            message: None,
            as_failed: false,
        };
        self.0.faults.stream_error = Some(error);
        self
    }

    /// An error inside the stream, told in full.
    pub fn stream_error_reply(mut self, error: StreamError) -> Self {
        self.0.faults.stream_error = Some(error);
        self
    }

    /// Cuts the connection.
    pub fn cut(mut self, at: CutAt, how: CutHow) -> Self {
        self.0.faults.cut = Some(Cut { at, how });
        self
    }

    /// Ends the stream in order, but without its last frames.
    pub fn ending(mut self, ending: Ending) -> Self {
        self.0.faults.ending = ending;
        self
    }

    /// Stalls for ever.
    pub fn stall(mut self, stall: Stall) -> Self {
        self.0.faults.stall = Some(stall);
        self
    }

    /// Sizes of the writes in bytes; the last one repeats.
    pub fn write_sizes(mut self, sizes: &[usize]) -> Self {
        self.0.faults.write_sizes = sizes.to_vec();
        self
    }

    /// What is done to the ids of tool calls.
    pub fn call_ids(mut self, ids: CallIds) -> Self {
        self.0.faults.call_ids = ids;
        self
    }

    /// Leaves the usage report out.
    pub fn no_usage(mut self) -> Self {
        self.0.faults.no_usage = true;
        self
    }
}

/// The words of a text, each with the white space that follows it.
fn words(text: &str) -> Tokens {
    Tokens(
        text.split_inclusive(char::is_whitespace)
            .map(str::to_owned)
            .collect(),
    )
}
