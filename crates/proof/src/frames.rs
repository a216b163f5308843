//! Frames of an event stream, read more strictly than any client does: exactly an id, a type and one line of JSON.

use serde_json::Value;
use std::fmt;

/// One event with the bytes it came in.
#[derive(Clone, PartialEq)]
pub struct Frame {
    pub seq: u64,
    pub event: String,
    pub data: Value,
    pub bytes: Vec<u8>,
}

/// Frames out of bytes as they come.
#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

impl Frame {
    /// # Errors
    /// With what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let wrong = |what: &str| format!("{what}: {text:?}");
        let body = text
            .strip_suffix("\n\n")
            .ok_or_else(|| wrong("not ended"))?;
        let lines: Vec<&str> = body.split('\n').collect();
        let [id, event, data] = lines.as_slice() else {
            return Err(wrong("not three lines"));
        };
        let seq = id.strip_prefix("id: ").and_then(|id| id.parse().ok());
        let event = event.strip_prefix("event: ");
        let data = data.strip_prefix("data: ");
        let data = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
        let (Some(seq), Some(event), Some(data)) = (seq, event, data) else {
            return Err(wrong("not an id, a type and JSON"));
        };
        if data["seq"] != seq || data["type"] != event {
            return Err(wrong("the data tells another number or type"));
        }
        Ok(Self {
            seq,
            event: event.to_owned(),
            data,
            bytes: bytes.to_vec(),
        })
    }

    pub fn is_delta(&self) -> bool {
        matches!(self.event.as_str(), "message_delta" | "reasoning_delta")
    }

    pub fn text(&self, field: &str) -> &str {
        self.data[field].as_str().unwrap_or_default()
    }
}

impl Frames {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame. Heartbeats and reconnection hints before it are passed over.
    ///
    /// # Errors
    /// If what came is no frame.
    pub fn take(&mut self) -> Result<Option<Frame>, String> {
        loop {
            let line = match self.bytes.iter().position(|&byte| byte == b'\n') {
                Some(end) => &self.bytes[..=end],
                None => return Ok(None),
            };
            if line != b": keep-alive\n" && line != b"retry: 500\n" {
                break;
            }
            self.bytes.drain(..line.len());
        }
        let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") else {
            return Ok(None);
        };
        let rest = self.bytes.split_off(end + 2);
        let frame = std::mem::replace(&mut self.bytes, rest);
        Frame::parse(&frame).map(Some)
    }
}

/// The bytes of frames behind each other.
pub fn joined(frames: &[Frame]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|frame| frame.bytes.clone())
        .collect()
}
