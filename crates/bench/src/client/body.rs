//! The ways in which HTTP/1.1 tells where a body ends (RFC 9112 §6.3), read piece by piece.

/// How the rest of a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are left.
    Length(usize),
    Chunked(Chunks),
    UntilClose,
}

/// Where in a chunked body the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// In the line that tells a chunk's size.
    Size,
    /// In a chunk; so many bytes are left of it and of the line end behind it.
    Data(usize),
    /// In the line end after the last chunk; trailers are not sent by either server.
    End,
    Over,
}

/// The bytes are not a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Body {
    pub fn chunked() -> Self {
        Self::Chunked(Chunks::Size)
    }

    pub fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::Over))
    }

    /// Appends the body's bytes in `input` to `out`, and returns how many bytes of `input` are used up.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        match self {
            Self::Length(left) => {
                let length = input.len().min(*left);
                out.extend_from_slice(&input[..length]);
                *left -= length;
                Ok(length)
            }
            Self::Chunked(chunks) => chunks.decode(input, out),
            Self::UntilClose => {
                out.extend_from_slice(input);
                Ok(input.len())
            }
        }
    }
}

impl Chunks {
    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match self {
                Self::Size => match httparse::parse_chunk_size(rest) {
                    Ok(httparse::Status::Complete((length, 0))) => {
                        used += length;
                        *self = Self::End;
                    }
                    Ok(httparse::Status::Complete((length, size))) => {
                        used += length;
                        let size = usize::try_from(size).map_err(|_| Malformed)?;
                        *self = Self::Data(size + 2);
                    }
                    Ok(httparse::Status::Partial) => return Ok(used),
                    Err(_) => return Err(Malformed),
                },
                Self::Data(left) => {
                    if rest.is_empty() {
                        return Ok(used);
                    }
                    // The last two are the line end, which is not the body's.
                    let data = rest.len().min(left.saturating_sub(2));
                    out.extend_from_slice(&rest[..data]);
                    let length = rest.len().min(*left);
                    used += length;
                    *left -= length;
                    if *left == 0 {
                        *self = Self::Size;
                    }
                }
                Self::End => {
                    if rest.len() < 2 {
                        return Ok(used);
                    }
                    if !rest.starts_with(b"\r\n") {
                        return Err(Malformed);
                    }
                    used += 2;
                    *self = Self::Over;
                    return Ok(used);
                }
                Self::Over => return Ok(used),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\nHTTP/1.1 200";

    #[test]
    fn chunked_body_is_the_same_however_it_is_cut() {
        for cut in 0..CHUNKED.len() {
            let (mut body, mut out, mut used) = (Body::chunked(), Vec::new(), 0);
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
    fn broken_chunks_are_refused() {
        for broken in [&b"zz\r\n"[..], b"0\r\nxx"] {
            assert_eq!(
                Body::chunked().decode(broken, &mut Vec::new()),
                Err(Malformed)
            );
        }
    }
}
