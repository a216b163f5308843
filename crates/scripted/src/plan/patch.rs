//! Bytes that are the same for each answer but for a few digits.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::wire::ID_MARKER;

/// Where a token holds this text, the time of its write is sent in its place: microseconds since
/// 1970 in 16 hexadecimal digits. For drivers that measure how old a token is when it arrives.
pub const SENT_AT_MARKER: &str = "SENTATUNIXMICROS";
/// Bytes in which the answer's own digits are still to be put.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patch {
    pub bytes: Vec<u8>,
    at: Vec<usize>,
    /// Where the time of the write goes.
    times: Vec<usize>,
}

impl Patch {
    pub fn new(bytes: Vec<u8>) -> Self {
        let at = memchr::memmem::find_iter(&bytes, ID_MARKER).collect();
        let times = memchr::memmem::find_iter(&bytes, SENT_AT_MARKER).collect();
        Self { bytes, at, times }
    }

    /// Appends the bytes with the digits of this answer.
    pub fn write(&self, digits: &[u8; 16], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for at in &self.at {
            out[start + at..start + at + digits.len()].copy_from_slice(digits);
        }
        if self.times.is_empty() {
            return;
        }
        let now = unix_micros_digits();
        for at in &self.times {
            out[start + at..start + at + now.len()].copy_from_slice(&now);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver that reads it is another process, so it must be the machine's own time"
)]
pub(crate) fn unix_micros_digits() -> [u8; 16] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = now.map_or(0, |since| since.as_micros());
    digits(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// The digits that tell the answer of this number from any other.
pub(crate) fn digits(number: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        let nibble = (number >> (place * 4)) & 0xf;
        *digit = b"0123456789abcdef"[usize::try_from(nibble).expect("a nibble fits")];
    }
    digits
}
