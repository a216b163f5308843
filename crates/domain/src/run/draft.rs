//! A transition in the making: the one place where events take their numbers and new ids are derived.

use super::{Refused, Run, Transition};
use crate::Timestamp;
use crate::audit::{Actor, Deed, Entry};
use crate::event::{DeltaBlock, Event, EventBody, Record};
use crate::seeded::Seeded;
use uuid::Uuid;

/// A transition in the making. Events take their numbers here and nowhere else.
pub(super) struct Draft {
    pub at: Timestamp,
    pub out: Transition,
}

impl Draft {
    pub fn new(run: &Run, at: Timestamp) -> Self {
        let out = Transition {
            run: run.clone(),
            records: Vec::new(),
            steps: Vec::new(),
            messages: Vec::new(),
            approvals: Vec::new(),
            responses: Vec::new(),
            closed: Vec::new(),
            grants: Vec::new(),
            grant_uses: Vec::new(),
            audit: Vec::new(),
            deliveries: Vec::new(),
        };
        Self { at, out }
    }

    pub fn event(&mut self, body: EventBody) {
        let seq = self.out.run.next_seq;
        self.out.run.next_seq += 1;
        self.out.records.push(Record::Event(Event {
            seq,
            at: self.at,
            body,
        }));
    }

    /// Keeps what was told of a turn, so that it can be told again.
    pub fn deltas(&mut self, block: Option<DeltaBlock>) {
        if let Some(block) = block.filter(|block| !block.pieces.is_empty()) {
            self.out.run.next_seq = block.end_seq();
            if !Seeded::DeltasUnkept.is_on() {
                self.out.records.push(Record::Deltas(block));
            }
        }
    }

    pub fn audit(&mut self, actor: Actor, deed: Deed) {
        let at = self.at;
        self.out.audit.push(Entry { at, actor, deed });
    }

    /// A UUIDv7 whose random part is a hash of the run, what the id is for, and which one it is.
    pub fn derive(&self, purpose: &str, index: u32) -> Uuid {
        let run = &self.out.run;
        let mut hasher = blake3::Hasher::new();
        hasher.update(run.org.as_str().as_bytes());
        hasher.update(run.id.uuid().as_bytes());
        hasher.update(purpose.as_bytes());
        hasher.update(&index.to_le_bytes());
        let mut random = [0; 10];
        random.copy_from_slice(&hasher.finalize().as_bytes()[..10]);
        let millis = u64::try_from(self.at.as_micros() / 1000).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    pub fn take_step(&mut self) -> u32 {
        let index = self.out.run.next_step;
        self.out.run.next_step += 1;
        index
    }

    pub fn refuse(self, input: &'static str, why: &'static str) -> Result<Transition, Refused> {
        Err(Refused {
            status: self.out.run.status(),
            input,
            why,
        })
    }

    pub fn finish(mut self) -> Result<Transition, Refused> {
        self.out.run.version += 1;
        Ok(self.out)
    }
}
