//! A reply as blocks (reasoning, text, calls) made of pieces: what every wire renders from.

use super::{Ask, Echo, Finish, Flood, Frame, Part, Reply, Usage, Wire};

/// A piece of a block.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Token(String),
    Hold(String),
    Flood(Flood),
}

/// A block of what the model says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    Reasoning(Vec<Piece>),
    Text(Vec<Piece>),
    Call {
        index: usize,
        id: Option<String>,
        name: String,
        arguments: String,
        pieces: Vec<Piece>,
    },
}

impl Block {
    fn pieces_mut(&mut self) -> &mut Vec<Piece> {
        match self {
            Self::Reasoning(pieces) | Self::Text(pieces) | Self::Call { pieces, .. } => pieces,
        }
    }

    fn pieces(&self) -> &[Piece] {
        match self {
            Self::Reasoning(pieces) | Self::Text(pieces) | Self::Call { pieces, .. } => pieces,
        }
    }

    /// The tokens joined.
    pub fn joined(&self) -> String {
        let tokens = self.pieces().iter().filter_map(|piece| match piece {
            Piece::Token(token) => Some(token.as_str()),
            Piece::Hold(_) | Piece::Flood(_) => None,
        });
        tokens.collect()
    }
}

/// What a wire renders.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub blocks: Vec<Block>,
    pub finish: Finish,
    pub usage: Option<Usage>,
    /// Bytes that stand in the text in place of [`byte_mark`].
    bytes: Vec<Vec<u8>>,
}

/// Stands in a text for bytes that no string can hold. Private-use characters, which JSON leaves as
/// they are.
fn byte_mark(index: usize) -> String {
    format!("\u{F8FE}{index}\u{F8FF}")
}

impl Answer {
    /// Reads the blocks out of a reply.
    pub fn of(reply: &Reply, ask: &Ask<'_>) -> Self {
        let mut answer = Self {
            blocks: Vec::new(),
            finish: reply.finish_reason(),
            usage: reply.reported_usage(),
            bytes: Vec::new(),
        };
        let prefix = if ask.wire == Wire::Anthropic {
            "toolu"
        } else {
            "call"
        };
        let mut ids = reply.call_ids(prefix).into_iter();
        let mut calls = 0;
        let mut waiting = Vec::new();
        for part in &reply.parts {
            let before = answer.blocks.len();
            match part {
                Part::Reasoning(tokens) => answer.reasoning(tokens.0.iter().cloned()),
                Part::Text(tokens) => answer.text(tokens.0.iter().cloned().map(Piece::Token)),
                Part::TextBytes(bytes) => {
                    answer.bytes.push(bytes.clone());
                    let mark = byte_mark(answer.bytes.len() - 1);
                    answer.text([Piece::Token(mark)]);
                }
                Part::Echo(echo) => answer.text([Piece::Token(echoed(*echo, ask))]),
                Part::Flood(flood) => answer.text([Piece::Flood(flood.clone())]),
                Part::ToolCall(call) => {
                    let fragments = call.arguments.fragments();
                    answer.blocks.push(Block::Call {
                        index: calls,
                        id: ids.next().flatten(),
                        name: call.name.clone(),
                        arguments: call.arguments.0.clone(),
                        pieces: fragments.into_iter().map(Piece::Token).collect(),
                    });
                    calls += 1;
                }
                Part::Hold(gate) => match answer.blocks.last_mut() {
                    Some(block) => block.pieces_mut().push(Piece::Hold(gate.clone())),
                    None => waiting.push(Piece::Hold(gate.clone())),
                },
            }
            // A hold before the first block waits at the beginning of that block.
            if before == 0
                && let Some(first) = answer.blocks.first_mut()
            {
                first.pieces_mut().splice(0..0, waiting.drain(..));
            }
        }
        if !waiting.is_empty() {
            answer.blocks.push(Block::Text(waiting));
        }
        answer
    }

    fn reasoning(&mut self, tokens: impl Iterator<Item = String>) {
        let pieces = tokens.map(Piece::Token);
        match self.blocks.last_mut() {
            Some(Block::Reasoning(open)) => open.extend(pieces),
            _ => self.blocks.push(Block::Reasoning(pieces.collect())),
        }
    }

    fn text(&mut self, pieces: impl IntoIterator<Item = Piece>) {
        match self.blocks.last_mut() {
            Some(Block::Text(open)) => open.extend(pieces),
            _ => self.blocks.push(Block::Text(pieces.into_iter().collect())),
        }
    }

    /// The calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = &Block> {
        self.blocks
            .iter()
            .filter(|block| matches!(block, Block::Call { .. }))
    }

    /// All text, joined.
    pub fn text_joined(&self) -> String {
        let texts = self
            .blocks
            .iter()
            .filter(|block| matches!(block, Block::Text(_)));
        texts.map(Block::joined).collect()
    }

    /// All reasoning, joined.
    pub fn reasoning_joined(&self) -> String {
        let blocks = self
            .blocks
            .iter()
            .filter(|block| matches!(block, Block::Reasoning(_)));
        blocks.map(Block::joined).collect()
    }

    /// Every gate, in order.
    pub fn holds(&self) -> impl Iterator<Item = &str> {
        let pieces = self.blocks.iter().flat_map(Block::pieces);
        pieces.filter_map(|piece| match piece {
            Piece::Hold(gate) => Some(gate.as_str()),
            Piece::Token(_) | Piece::Flood(_) => None,
        })
    }

    /// Puts raw bytes where their marks stand.
    pub fn put_bytes(&self, frames: &mut [Frame]) {
        for (index, raw) in self.bytes.iter().enumerate() {
            let mark = byte_mark(index);
            for frame in frames.iter_mut() {
                if let Frame::Bytes { bytes, .. } = frame {
                    replace_all(bytes, mark.as_bytes(), raw);
                }
            }
        }
    }
}

/// Replaces each occurrence of `old` in `bytes`.
pub(crate) fn replace_all(bytes: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let found: Vec<usize> = memchr::memmem::find_iter(bytes, old).collect();
    for at in found.into_iter().rev() {
        bytes.splice(at..at + old.len(), new.iter().copied());
    }
}

fn echoed(echo: Echo, ask: &Ask<'_>) -> String {
    let Some(request) = ask.request else {
        return String::new();
    };
    match echo {
        Echo::LastUser => request.last_user().unwrap_or_default(),
        Echo::ToolResult => request.last_tool_result().unwrap_or_default(),
        Echo::Model => ask.model.to_owned(),
    }
}
