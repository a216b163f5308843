//! Payloads, and what is to be done between them, as HTTP/1.1 writes.

use super::{Patch, Step};
use crate::wire::{Frame, Kind, place_after_chunks};
use crate::{CutAt, CutHow, Faults, Stall};

/// One HTTP chunk.
pub(crate) fn chunk(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{:x}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// What stands between frames before they are framed.
pub(super) enum Draft {
    Payload(Vec<u8>),
    Other(Step),
}
/// Collects bytes until something else is to be done.
pub(super) struct Framed {
    pub steps: Vec<Step>,
    pub ready: Vec<u8>,
    pub chunked: bool,
}

impl Framed {
    pub fn flush(&mut self) {
        if !self.ready.is_empty() {
            self.steps
                .push(Step::Write(Patch::new(std::mem::take(&mut self.ready))));
        }
    }

    fn payload(&mut self, payload: &[u8]) {
        if self.chunked {
            chunk(payload, &mut self.ready);
        } else {
            self.ready.extend_from_slice(payload);
        }
    }

    pub fn drafts(&mut self, drafts: Vec<Draft>, sizes: &[usize]) {
        let mut run = Vec::new();
        let mut sizes = Sizes {
            list: sizes,
            next: 0,
        };
        for draft in drafts {
            match draft {
                Draft::Payload(payload) if sizes.list.is_empty() => self.payload(&payload),
                Draft::Payload(payload) => run.extend_from_slice(&payload),
                Draft::Other(step) => {
                    self.split(&mut run, &mut sizes);
                    self.flush();
                    self.steps.push(step);
                }
            }
        }
        self.split(&mut run, &mut sizes);
    }

    /// Writes a run of payload in pieces of the given sizes.
    fn split(&mut self, run: &mut Vec<u8>, sizes: &mut Sizes<'_>) {
        let mut rest = run.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.take().min(rest.len()));
            self.payload(piece);
            self.flush();
            rest = after;
        }
        run.clear();
    }
}

struct Sizes<'a> {
    list: &'a [usize],
    next: usize,
}

impl Sizes<'_> {
    /// The next size; the last one repeats. Never zero.
    fn take(&mut self) -> usize {
        let size = self
            .list
            .get(self.next)
            .or(self.list.last())
            .copied()
            .unwrap_or(1);
        self.next += 1;
        size.max(1)
    }
}

/// Where the answer stops and where it waits, by its faults and pace.
pub(super) fn drafts(frames: Vec<Frame>, faults: &Faults, paced: bool) -> Vec<Draft> {
    let stop = if let Some(CutAt::Chunk(chunks)) = faults.cut.map(|cut| cut.at) {
        let how = faults.cut.map(|cut| cut.how).unwrap_or_default();
        Some((place_after_chunks(&frames, chunks), Step::Cut(how)))
    } else {
        match faults.stall {
            Some(Stall::Body) => Some((0, Step::Stall)),
            Some(Stall::Chunk(chunks)) => Some((place_after_chunks(&frames, chunks), Step::Stall)),
            Some(Stall::Head) | None => None,
        }
    };
    let keep = stop.as_ref().map_or(frames.len(), |(place, _)| *place);
    let mut drafts = Vec::new();
    let mut first = true;
    for frame in frames.into_iter().take(keep) {
        let counts = matches!(
            frame,
            Frame::Bytes {
                kind: Kind::Delta,
                ..
            }
        );
        if counts && paced && !std::mem::take(&mut first) {
            drafts.push(Draft::Other(Step::Beat));
        }
        drafts.push(match frame {
            Frame::Bytes { bytes, .. } => Draft::Payload(bytes),
            Frame::Hold(gate) => Draft::Other(Step::Hold(gate)),
            Frame::Flood(flood) => Draft::Other(Step::Flood(flood)),
        });
    }
    drafts.extend(stop.map(|(_, step)| Draft::Other(step)));
    drafts
}

/// Cuts after so many bytes of payload.
pub(super) fn cut_at_byte(drafts: &mut Vec<Draft>, limit: usize, how: CutHow) {
    let mut left = limit;
    for place in 0..drafts.len() {
        if let Draft::Payload(payload) = &mut drafts[place] {
            if payload.len() >= left {
                payload.truncate(left);
                drafts.truncate(place + usize::from(left > 0));
                drafts.push(Draft::Other(Step::Cut(how)));
                return;
            }
            left -= payload.len();
        }
    }
}
