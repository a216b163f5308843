//! Takes frames off a stream of server-sent events (WHATWG HTML, "Server-sent events", LF alone). It does not look into
//! their data.

use memchr::memmem;

/// The fields of one frame; absent ones are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frame<'a> {
    pub id: &'a [u8],
    pub event: &'a [u8],
    pub data: &'a [u8],
}

/// Text that has come and not yet been used.
#[derive(Debug, Default)]
pub struct Frames {
    pub text: Vec<u8>,
    used: usize,
}

impl Frames {
    pub fn clear(&mut self) {
        self.text.clear();
        self.used = 0;
    }

    /// The next frame that is there whole.
    pub fn take(&mut self) -> Option<Frame<'_>> {
        let rest = &self.text[self.used..];
        match memmem::find(rest, b"\n\n") {
            Some(end) => {
                let start = self.used;
                self.used += end + 2;
                Some(fields(&self.text[start..start + end]))
            }
            None => {
                self.text.drain(..self.used);
                self.used = 0;
                None
            }
        }
    }
}

fn fields(lines: &[u8]) -> Frame<'_> {
    let mut frame = Frame::default();
    for line in lines.split(|byte| *byte == b'\n') {
        if let Some(value) = line.strip_prefix(b"data: ") {
            frame.data = value;
        } else if let Some(value) = line.strip_prefix(b"event: ") {
            frame.event = value;
        } else if let Some(value) = line.strip_prefix(b"id: ") {
            frame.id = value;
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_and_heartbeats_are_passed_over() {
        let mut frames = Frames::default();
        frames.text.extend_from_slice(b"id: 1\nevent: a\nda");
        assert_eq!(frames.take(), None);
        frames
            .text
            .extend_from_slice(b"ta: {}\n\n: keep-alive\nid: 2\nevent: b\ndata: {\"x\":1}\n\nid");
        let first = Frame {
            id: b"1",
            event: b"a",
            data: b"{}",
        };
        let second = Frame {
            id: b"2",
            event: b"b",
            data: b"{\"x\":1}",
        };
        assert_eq!(frames.take(), Some(first));
        assert_eq!(frames.take(), Some(second));
        assert_eq!(frames.take(), None);
        assert_eq!(frames.text, b"id");
    }
}
