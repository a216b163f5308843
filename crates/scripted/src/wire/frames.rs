//! A rendered stream as a list of frames, each marked with what it is for, so that faults can be
//! put between them without knowing the wire.

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Opens or closes something; carries nothing that the model says.
    Structure,
    /// A chunk.
    Delta,
    /// Tells the finish reason or the usage.
    Finish,
    /// The terminal marker.
    Marker,
}

/// One frame.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Bytes { kind: Kind, bytes: Vec<u8> },
    Hold(String),
    Flood(FloodFrame),
}

/// A delta repeated many times, numbered if the wire numbers its events.
#[derive(Debug, Clone)]
pub(crate) struct FloodFrame {
    pub before: String,
    /// The first number; `before`, number and `after` make one frame.
    pub first: Option<u64>,
    pub after: String,
    /// Without end if absent.
    pub count: Option<u64>,
}

impl FloodFrame {
    /// The frame of this index.
    pub fn frame(&self, index: u64) -> String {
        match self.first {
            Some(first) => format!("{}{}{}", self.before, first + index, self.after),
            None => format!("{}{}", self.before, self.after),
        }
    }
}

/// Collects the frames of a stream.
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<Frame>);

impl Frames {
    pub fn into_list(self) -> Vec<Frame> {
        self.0
    }

    pub fn structure(&mut self, text: String) {
        self.push(Kind::Structure, text);
    }

    pub fn delta(&mut self, text: String) {
        self.push(Kind::Delta, text);
    }

    pub fn finish(&mut self, text: String) {
        self.push(Kind::Finish, text);
    }

    pub fn marker(&mut self, text: String) {
        self.push(Kind::Marker, text);
    }

    pub fn hold(&mut self, gate: &str) {
        self.0.push(Frame::Hold(gate.to_owned()));
    }

    /// A repeated frame without numbers.
    pub fn flood(&mut self, text: String, count: Option<u64>) {
        self.numbered_flood(FloodFrame {
            before: text,
            first: None,
            after: String::new(),
            count,
        });
    }

    pub fn numbered_flood(&mut self, flood: FloodFrame) {
        self.0.push(Frame::Flood(flood));
    }

    fn push(&mut self, kind: Kind, text: String) {
        self.0.push(Frame::Bytes {
            kind,
            bytes: text.into_bytes(),
        });
    }
}

/// How many events the frames hold, for wires that number them.
pub(crate) fn event_count(frames: &[Frame]) -> u64 {
    let events = frames.iter().map(|frame| match frame {
        Frame::Bytes { .. } => 1,
        Frame::Hold(_) => 0,
        Frame::Flood(flood) => flood.count.unwrap_or_default(),
    });
    events.sum()
}

/// The place after so many chunks: before the next one, or before the frames that finish. The
/// frames that only open or close something belong to the chunk before them.
pub(crate) fn place_after_chunks(frames: &[Frame], chunks: usize) -> usize {
    let mut seen = 0;
    for (place, frame) in frames.iter().enumerate() {
        match frame {
            Frame::Bytes {
                kind: Kind::Delta, ..
            }
            | Frame::Flood(_) => {
                if seen == chunks {
                    return place;
                }
                seen += 1;
            }
            Frame::Bytes {
                kind: Kind::Finish | Kind::Marker,
                ..
            } => return place,
            Frame::Bytes {
                kind: Kind::Structure,
                ..
            }
            | Frame::Hold(_) => {}
        }
    }
    frames.len()
}
