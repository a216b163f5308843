//! Cuts a provider's byte stream into frames: server-sent events (WHATWG HTML, "Server-sent events") or lines of JSON.
//! It works on bytes, so that a character split over two reads is whole again before anyone decodes it, and it does
//! not know what a frame means.

use crate::fault::Fault;
use domain::limits::TURN_BYTES_MAX;

/// Bytes of one frame. The last event of OpenAI's Responses repeats the whole answer, escaped.
const FRAME_BYTES_MAX: usize = 4 * TURN_BYTES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Sse,
    Lines,
}

/// A splitter; feed it what was read, in order.
#[derive(Debug)]
pub(crate) struct Frames {
    framing: Framing,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The data of the event that is being read.
    data: Vec<u8>,
    has_data: bool,
}

impl Frames {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            partial: Vec::new(),
            data: Vec::new(),
            has_data: false,
        }
    }

    /// Hands every frame that is complete to `sink`. A frame without its end is never handed out: what a cut
    /// connection leaves of it proves nothing.
    pub(crate) fn feed(
        &mut self,
        mut read: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while let Some(at) = memchr::memchr(b'\n', read) {
            let (line, rest) = read.split_at(at);
            read = &rest[1..];
            if self.partial.is_empty() {
                self.line(line, sink)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole, sink)?;
                whole.clear();
                self.partial = whole;
            }
        }
        if self.partial.len() + read.len() > FRAME_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        self.partial.extend_from_slice(read);
        Ok(())
    }

    fn line(
        &mut self,
        line: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.framing {
            Framing::Lines if line.is_empty() => Ok(()),
            Framing::Lines => sink(line),
            Framing::Sse if line.is_empty() => {
                if !self.has_data {
                    return Ok(());
                }
                self.has_data = false;
                let outcome = sink(&self.data);
                self.data.clear();
                outcome
            }
            Framing::Sse => self.field(line),
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        let Some(value) = line.strip_prefix(b"data:") else {
            // Comments, ids and event names: every wire here repeats the event's name in its data.
            return Ok(());
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if self.data.len() + value.len() > FRAME_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(framing: Framing, text: &[u8], size: usize) -> Vec<String> {
        let mut frames = Frames::new(framing);
        let mut found = Vec::new();
        for piece in text.chunks(size) {
            frames
                .feed(piece, &mut |frame| {
                    found.push(String::from_utf8(frame.to_vec()).unwrap());
                    Ok(())
                })
                .unwrap();
        }
        found
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let sse = "event: x\r\ndata: {\"a\":\"żó\"}\r\n\r\n: comment\n\ndata:one\ndata: two\n\ndata: [DONE]\n\n";
        let lines = "{\"a\":1}\n\n{\"b\":\"ł\"}\r\n{\"unfinished\"";
        for size in 1..=sse.len() {
            assert_eq!(
                cut(Framing::Sse, sse.as_bytes(), size),
                ["{\"a\":\"żó\"}", "one\ntwo", "[DONE]"],
                "pieces of {size}"
            );
            assert_eq!(
                cut(Framing::Lines, lines.as_bytes(), size),
                ["{\"a\":1}", "{\"b\":\"ł\"}"],
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn an_event_without_its_blank_line_is_no_event() {
        assert_eq!(cut(Framing::Sse, b"data: [DONE]\n", 64), [""; 0]);
        assert_eq!(cut(Framing::Sse, b"data: [DONE]", 64), [""; 0]);
    }

    #[test]
    fn an_endless_line_is_refused_before_it_fills_the_memory() {
        let mut frames = Frames::new(Framing::Sse);
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..64).find_map(|at| frames.feed(&piece, &mut |_| Ok(())).err().map(|_| at));
        assert_eq!(refused, Some(FRAME_BYTES_MAX >> 20));
    }
}
