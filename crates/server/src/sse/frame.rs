//! A run's events as frames. Model text is always inside a JSON string, where a line feed is two characters, so no text
//! can end its frame or begin another.

use super::timestamp;
use crate::wire::events::Event as WireEvent;
use domain::RunId;
use domain::event::{Event, EventBody};
use serde::Serialize;
use std::io::Write;

/// Writes the frames of one run.
pub struct Encoder {
    run: RunId,
    run_text: String,
}

impl Encoder {
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            run_text: run.to_string(),
        }
    }

    /// Appends the event's frame.
    pub fn write(&self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(b"id: ");
        decimal(event.seq, out);
        out.extend_from_slice(b"\nevent: ");
        let name = event.body.type_name();
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        match &event.body {
            // Nearly all frames are deltas; written by hand they cost a fifth.
            EventBody::MessageDelta { message_id, delta }
            | EventBody::ReasoningDelta { message_id, delta } => {
                out.extend_from_slice(b"{\"type\":\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\",\"run_id\":\"");
                out.extend_from_slice(self.run_text.as_bytes());
                out.extend_from_slice(b"\",\"seq\":");
                decimal(event.seq, out);
                out.extend_from_slice(b",\"at\":\"");
                timestamp::write(event.at, out);
                out.extend_from_slice(b"\",\"message_id\":\"");
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                let text = message_id.uuid().hyphenated().encode_lower(&mut text);
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\",\"delta\":");
                json(delta, out);
                out.push(b'}');
            }
            EventBody::RunCreated { .. }
            | EventBody::RunStatus { .. }
            | EventBody::GateDecided { .. }
            | EventBody::MessageCompleted { .. }
            | EventBody::ToolCallRequested { .. }
            | EventBody::ToolCallStarted { .. }
            | EventBody::ToolCallCompleted { .. }
            | EventBody::ApprovalRequested { .. }
            | EventBody::ApprovalResolved { .. }
            | EventBody::StepReported { .. }
            | EventBody::LaneChanged { .. }
            | EventBody::TurnRestarted { .. }
            | EventBody::Usage { .. }
            | EventBody::Error { .. }
            | EventBody::Done { .. } => json(&WireEvent::new(self.run, event), out),
        }
        out.extend_from_slice(b"\n\n");
    }
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("an event has string keys and a buffer takes it");
}

fn decimal(value: u64, out: &mut Vec<u8>) {
    write!(out, "{value}").expect("a buffer takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{MessageId, Timestamp};
    use uuid::Uuid;

    fn delta(text: &str) -> Event {
        Event {
            seq: 7,
            at: Timestamp::from_micros(1_790_000_000_000_001),
            body: EventBody::MessageDelta {
                message_id: MessageId::new(Uuid::from_u128(1)),
                delta: text.to_owned(),
            },
        }
    }

    #[test]
    fn deltas_by_hand_are_those_by_serde() {
        let run = RunId::new(Uuid::from_u128(2));
        for text in [
            "",
            "plain",
            "\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f}",
            "é 🦀 \u{2028}",
        ] {
            let mut frame = Vec::new();
            Encoder::new(run).write(&delta(text), &mut frame);
            let mut expected = b"id: 7\nevent: message_delta\ndata: ".to_vec();
            json(&WireEvent::new(run, &delta(text)), &mut expected);
            expected.extend_from_slice(b"\n\n");
            assert_eq!(String::from_utf8(frame), String::from_utf8(expected));
        }
    }

    #[test]
    fn text_cannot_forge_a_frame() {
        let mut frame = Vec::new();
        let text = "x\n\nid: 9\nevent: done\ndata: {}\n\n\r\r\nevent: done\r\n\r\n";
        Encoder::new(RunId::new(Uuid::nil())).write(&delta(text), &mut frame);
        let frame = String::from_utf8(frame).unwrap();
        let lines: Vec<&str> = frame.split(['\n', '\r']).collect();
        assert_eq!(lines.len(), 5, "{frame}");
        assert_eq!(lines[..2], ["id: 7", "event: message_delta"]);
        assert_eq!(lines[3..], ["", ""]);
    }
}
