//! Where an answer's body ends (RFC 9112 §6.3), read piece by piece.

use super::Lost;

/// Bytes of the trailers behind a chunked body, which nobody needs.
const TRAILERS_MAX: usize = 16 << 10;
/// Bytes of the line before a chunk, its extensions included.
const SIZE_LINE_MAX: usize = 4 << 10;

/// How the rest of a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// Where in a chunked body the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the line that tells a chunk's size.
    Size,
    /// In a chunk with so many bytes left.
    Data(u64),
    /// In the line end behind a chunk.
    DataEnd,
    /// In the lines behind the last chunk, so many bytes of which have come.
    Trailers(usize),
    Over,
}

impl Body {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::Over))
    }

    /// Appends the body's bytes in `input` to `out`, and returns how many bytes of `input` are used up.
    pub(super) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Lost> {
        match self {
            Self::Length(left) => {
                let length = at_most(input, *left);
                out.extend_from_slice(&input[..length]);
                *left -= length as u64;
                Ok(length)
            }
            Self::Chunked(chunks) => {
                let mut used = 0;
                while let Some(length) = chunks.step(&input[used..], out)? {
                    used += length;
                }
                Ok(used)
            }
            Self::UntilClose => {
                out.extend_from_slice(input);
                Ok(input.len())
            }
        }
    }
}

fn at_most(input: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(input.len(), |left| input.len().min(left))
}

impl Chunks {
    /// Uses up some of `input`; `None` if it takes more of it to go on.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Lost> {
        match self {
            Self::Over => Ok(None),
            Self::Data(left) => {
                if input.is_empty() {
                    return Ok(None);
                }
                let length = at_most(input, *left);
                out.extend_from_slice(&input[..length]);
                *left -= length as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Ok(Some(length))
            }
            Self::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(Some(2))
                }
                [] | [b'\r'] => Ok(None),
                _ => Err(Lost::Broken),
            },
            Self::Size => match httparse::parse_chunk_size(input) {
                Ok(httparse::Status::Complete((length, size))) => {
                    *self = match size {
                        0 => Self::Trailers(0),
                        size => Self::Data(size),
                    };
                    Ok(Some(length))
                }
                Ok(httparse::Status::Partial) if input.len() <= SIZE_LINE_MAX => Ok(None),
                Ok(httparse::Status::Partial) | Err(_) => Err(Lost::Broken),
            },
            Self::Trailers(seen) => {
                let Some(end) = memchr::memchr(b'\n', input) else {
                    let fits = *seen + input.len() <= TRAILERS_MAX;
                    return if fits { Ok(None) } else { Err(Lost::Broken) };
                };
                let line = &input[..end];
                *self = match line.strip_suffix(b"\r").unwrap_or(line) {
                    [] => Self::Over,
                    _ if *seen + end > TRAILERS_MAX => return Err(Lost::Broken),
                    _ => Self::Trailers(*seen + end + 1),
                };
                Ok(Some(end + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nx-more: 1\r\n\r\nHTTP/1.1 200";

    #[test]
    fn chunked_body_is_the_same_however_it_is_cut() {
        for cut in 0..CHUNKED.len() {
            let (mut body, mut out, mut used) = (Body::Chunked(Chunks::Size), Vec::new(), 0);
            for end in [cut, CHUNKED.len()] {
                used += body.decode(&CHUNKED[used..end], &mut out).unwrap();
            }
            assert!(body.is_over());
            assert_eq!(out, b"hello, world", "cut at {cut}");
            assert_eq!(&CHUNKED[used..], b"HTTP/1.1 200");
        }
    }

    #[test]
    fn body_of_known_length_leaves_what_follows() {
        let (mut body, mut out) = (Body::Length(3), Vec::new());
        assert_eq!(body.decode(b"abcdef", &mut out), Ok(3));
        assert!(body.is_over());
        assert_eq!(out, b"abc");
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let endless = [b'a'; TRAILERS_MAX + 8];
        let mut trailers = b"0\r\n".to_vec();
        trailers.extend_from_slice(&endless);
        for broken in [&b"zz\r\n"[..], b"1\r\nab\r\n", b"1\r\na\n", &trailers] {
            let decoded = Body::Chunked(Chunks::Size).decode(broken, &mut Vec::new());
            assert_eq!(decoded, Err(Lost::Broken));
        }
    }
}
