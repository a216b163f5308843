//! Reads server-sent events from bytes as they arrive (WHATWG HTML, section 9.2.6). It does not know what they mean.

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

/// Bytes of one line; no event of the server is longer.
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a line of the stream is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the stream is not UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
}

#[derive(Debug, Default)]
pub struct Frames {
    rest: Vec<u8>,
    open: Frame,
    has_data: bool,
}

impl Frames {
    /// Takes the next bytes and gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        self.rest.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &self.rest[begin..begin + length];
            let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))?;
            if let Some(frame) = take(&mut self.open, &mut self.has_data, line) {
                frames.push(frame);
            }
            begin += length + 1;
        }
        self.rest.drain(..begin);
        if self.rest.len() > LINE_BYTES_MAX {
            return Err(FrameError::TooLong);
        }
        Ok(frames)
    }
}

fn take(open: &mut Frame, has_data: &mut bool, line: &str) -> Option<Frame> {
    if line.is_empty() {
        let frame = std::mem::take(open);
        return std::mem::take(has_data).then_some(frame);
    }
    let (field, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match field {
        "id" => open.id = Some(value.to_owned()),
        "event" => value.clone_into(&mut open.event),
        "data" => {
            if *has_data {
                open.data.push('\n');
            }
            *has_data = true;
            open.data.push_str(value);
        }
        // A comment, or a field that this client has no use for.
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: &str, event: &str, data: &str) -> Frame {
        Frame {
            id: Some(id.to_owned()),
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "id: 1\nevent: a\ndata: {\"x\":\"é\"}\n\n: keep-alive\nid: 2\r\nevent: b\r\ndata: 1\r\ndata: 2\r\n\r\n";
        let expected = vec![frame("1", "a", "{\"x\":\"é\"}"), frame("2", "b", "1\n2")];
        for size in 1..text.len() {
            let mut frames = Frames::default();
            let read: Vec<Frame> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|bytes| frames.push(bytes).unwrap())
                .collect();
            assert_eq!(read, expected, "chunks of {size}");
        }
    }

    #[test]
    fn event_without_data_or_end_is_none() {
        let mut frames = Frames::default();
        assert_eq!(frames.push(b"retry: 10\n\nid: 1\ndata: x\n").unwrap(), []);
    }
}
