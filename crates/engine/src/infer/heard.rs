//! What an inference turn has heard of the model so far.

use domain::event::{DeltaBlock, Piece, PieceKind};
use domain::gate::GateRecord;
use domain::lane::LaneChoice;
use domain::usage::Usage;
use domain::{MessageId, Timestamp};

/// What came of the model so far.
pub(super) struct Heard {
    pub(super) block: DeltaBlock,
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) lane: Option<LaneChoice>,
    pub(super) usage: Usage,
    pub(super) gate: Option<Box<GateRecord>>,
}

impl Heard {
    pub(super) fn new(started_at: Timestamp, message_id: MessageId) -> Self {
        Self {
            block: DeltaBlock {
                first_seq: 0,
                message_id,
                started_at,
                pieces: Vec::new(),
            },
            text: String::new(),
            reasoning: String::new(),
            lane: None,
            usage: Usage::default(),
            gate: None,
        }
    }

    pub(super) fn hear(&mut self, kind: PieceKind, text: &str, now: Timestamp) {
        match kind {
            PieceKind::Text => self.text.push_str(text),
            PieceKind::Reasoning => self.reasoning.push_str(text),
        }
        let offset = now.since(self.block.started_at).as_micros();
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        self.block.pieces.push(Piece(kind, offset, text.to_owned()));
    }
}
