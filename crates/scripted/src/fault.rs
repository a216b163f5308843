//! What can go wrong with an answer on its way: the vocabulary of faults, which `plan` turns into
//! writes and stops.

use serde::{Deserialize, Serialize};

use crate::ErrorKind;

/// Faults of one reply; any set of them may be given together.
///
/// A *chunk* is one delta of the model (a token of text or reasoning, a fragment of tool
/// arguments), on every wire. The frames that only open or close something travel with the chunk
/// before them, so "after chunk 0" is after the opening frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// An error object inside the stream that began with status 200, in the wire's own shape;
    /// nothing follows it.
    pub stream_error: Option<StreamError>,
    /// The connection is cut.
    pub cut: Option<Cut>,
    /// The stream ends cleanly at the HTTP level but lacks its last frames.
    pub ending: Ending,
    /// Nothing more is sent, and the connection stays open until the client goes.
    pub stall: Option<Stall>,
    /// Sizes in bytes of the writes that carry the body, each its own HTTP chunk; the last size
    /// repeats. Offsets do not respect characters.
    pub write_sizes: Vec<usize>,
    /// What is done to the ids of tool calls.
    pub call_ids: CallIds,
    /// The usage report is left out.
    pub no_usage: bool,
}

/// An error object in the middle of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamError {
    /// How many chunks come before it.
    pub after_chunks: usize,
    /// Which error.
    pub kind: ErrorKind,
    /// The message; the provider's usual one if absent.
    #[serde(default)]
    pub message: Option<String>,
    /// On the Responses wire: send `response.failed` instead of an `error` event. Other wires have
    /// one shape only.
    #[serde(default)]
    pub as_failed: bool,
}

/// Where and how a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Where.
    pub at: CutAt,
    /// How.
    #[serde(default)]
    pub how: CutHow,
}

/// The place of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutAt {
    /// Before any byte of the answer, head included.
    Head,
    /// After so many bytes of the body, not counting HTTP's own framing.
    Byte(usize),
    /// After so many chunks.
    Chunk(usize),
}

/// The manner of a cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutHow {
    /// The connection is reset (TCP RST).
    #[default]
    Rst,
    /// The connection is closed in order (TCP FIN), in the middle of the HTTP body.
    Fin,
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// As the provider ends it.
    #[default]
    Whole,
    /// Without the terminal marker: `[DONE]`, `response.completed`, `message_stop`, the last chunk
    /// with `finishReason`, the line with `"done":true`.
    NoMarker,
    /// Without the terminal marker and the frames that tell the finish reason and the usage.
    NoFinish,
}

/// Where an answer stalls for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stall {
    /// Before any byte of the answer.
    Head,
    /// After the HTTP head, before the body.
    Body,
    /// After so many chunks.
    Chunk(usize),
}

/// What is done to the ids of tool calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallIds {
    /// As scripted, or made up, distinct for each answer.
    #[default]
    Kept,
    /// Every call of the reply has the id of the first.
    Duplicate,
    /// The id field is left out.
    Missing,
    /// The id field is an empty string.
    Empty,
}

/// What happens to a connection when it is accepted, before anything is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptFault {
    /// It is served.
    #[default]
    Serve,
    /// It is held open and nothing is ever read or written.
    Stall,
    /// It is closed at once.
    Close,
    /// It is reset at once.
    Reset,
}
