//! Turns a rendered answer and its faults into the bytes, waits and stops that are played on a
//! socket; knows HTTP/1.1 framing, but neither the socket nor the wires.

use std::time::Duration;

use crate::wire::{FloodFrame, Frame, ID_MARKER, Kind, Rendered};
use crate::{CutAt, CutHow, Ending, Reply, Stall};

mod framed;
mod patch;
#[cfg(test)]
mod tests;

pub(crate) use framed::chunk;
use framed::{Draft, Framed, cut_at_byte, drafts};
pub use patch::SENT_AT_MARKER;
pub(crate) use patch::{Patch, digits};

/// What is done on the socket, in order. The connection is kept for the next request if the plan
/// runs to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// Wait between two chunks.
    pub between: Duration,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// One write.
    Write(Patch),
    Wait(Duration),
    /// Wait until the next chunk is due.
    Beat,
    Hold(String),
    /// Writes without end, or many, each an HTTP chunk of its own.
    Flood(FloodFrame),
    Stall,
    Cut(CutHow),
}

impl Plan {
    /// The plan of an answer. `number` puts the answer's digits in at once, which faults that cut
    /// inside a payload need; without it they are put in while writing.
    pub fn new(mut rendered: Rendered, reply: &Reply, number: Option<u64>) -> Self {
        let mut steps = Vec::new();
        let faults = &reply.faults;
        if reply.pace.first_byte_ms > 0 {
            steps.push(Step::Wait(Duration::from_millis(reply.pace.first_byte_ms)));
        }
        let between = Duration::from_millis(reply.pace.between_ms);
        if let Some(cut) = faults.cut.filter(|cut| cut.at == CutAt::Head) {
            steps.push(Step::Cut(cut.how));
            return Self { steps, between };
        }
        if faults.stall == Some(Stall::Head) {
            steps.push(Step::Stall);
            return Self { steps, between };
        }
        drop_ending(&mut rendered.frames, faults.ending);
        if let Some(number) = number {
            put_digits(&mut rendered, &digits(number));
        }
        let length = body_length(&rendered.frames);
        let head = head(&rendered, length);
        let mut drafts = drafts(rendered.frames, faults, !between.is_zero());
        if let Some(CutAt::Byte(limit)) = faults.cut.map(|cut| cut.at) {
            let how = faults.cut.map(|cut| cut.how).unwrap_or_default();
            cut_at_byte(&mut drafts, limit, how);
        }
        let stopped = drafts
            .iter()
            .any(|draft| matches!(draft, Draft::Other(Step::Stall | Step::Cut(_))));
        let mut framed = Framed {
            steps,
            ready: head,
            chunked: rendered.streamed,
        };
        if !faults.write_sizes.is_empty() {
            framed.flush();
        }
        framed.drafts(drafts, &faults.write_sizes);
        if rendered.streamed && !stopped {
            framed.ready.extend_from_slice(b"0\r\n\r\n");
        }
        framed.flush();
        Self {
            steps: framed.steps,
            between,
        }
    }

    /// The bytes of the whole answer, if nothing but one write is to be done.
    pub fn single_write(&self) -> Option<&Patch> {
        match self.steps.as_slice() {
            [Step::Write(patch)] => Some(patch),
            _ => None,
        }
    }
}

fn drop_ending(frames: &mut Vec<Frame>, ending: Ending) {
    frames.retain(|frame| match frame {
        Frame::Bytes {
            kind: Kind::Marker, ..
        } => ending == Ending::Whole,
        Frame::Bytes {
            kind: Kind::Finish, ..
        } => ending != Ending::NoFinish,
        _ => true,
    });
}

fn put_digits(rendered: &mut Rendered, digits: &[u8; 16]) {
    let text = std::str::from_utf8(digits).expect("hexadecimal digits are ASCII");
    for (_, value) in &mut rendered.headers {
        *value = value.replace(ID_MARKER, text);
    }
    for frame in &mut rendered.frames {
        match frame {
            Frame::Bytes { bytes, .. } => {
                let found: Vec<usize> = memchr::memmem::find_iter(bytes, ID_MARKER).collect();
                for at in found {
                    bytes[at..at + digits.len()].copy_from_slice(digits);
                }
            }
            Frame::Flood(flood) => {
                flood.before = flood.before.replace(ID_MARKER, text);
                flood.after = flood.after.replace(ID_MARKER, text);
            }
            Frame::Hold(_) => {}
        }
    }
}

fn body_length(frames: &[Frame]) -> usize {
    let lengths = frames.iter().map(|frame| match frame {
        Frame::Bytes { bytes, .. } => bytes.len(),
        Frame::Hold(_) | Frame::Flood(_) => 0,
    });
    lengths.sum()
}

fn head(rendered: &Rendered, length: usize) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        rendered.status,
        reason(rendered.status)
    );
    if !rendered.content_type.is_empty() {
        head.push_str(&format!("content-type: {}\r\n", rendered.content_type));
    }
    for (name, value) in &rendered.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if rendered.streamed {
        head.push_str("transfer-encoding: chunked\r\n\r\n");
    } else {
        head.push_str(&format!("content-length: {length}\r\n\r\n"));
    }
    head.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        529 => "Overloaded",
        _ => "Status",
    }
}
