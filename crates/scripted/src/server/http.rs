//! Reads HTTP/1.1 requests from a buffer; knows no socket.

use bytes::{Buf, Bytes, BytesMut};

#[cfg(test)]
mod tests;

/// More headers than any client of a model sends.
const HEADERS_MAX: usize = 96;
/// The longest head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The longest body.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The head of a request: what the server needs of it for itself.
#[derive(Debug)]
pub(super) struct Head {
    /// The head as received, blank line included.
    bytes: Bytes,
    method_end: usize,
    path: (usize, usize),
    pub body: BodyLength,
    /// The client wants the connection closed after the answer.
    pub close: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// How long the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(usize),
    Chunked,
}

/// The bytes are not HTTP/1.1, or more than is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Head {
    /// Takes a head from the front of the buffer, if it is there whole.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(buffer).map_err(|_| Malformed)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if buffer.len() > HEAD_BYTES_MAX => return Err(Malformed),
            httparse::Status::Partial => return Ok(None),
        };
        let (method, path) = (
            request.method.ok_or(Malformed)?,
            request.path.ok_or(Malformed)?,
        );
        let path_start = method.len() + 1;
        let path = (path_start, path_start + path.len());
        let method_end = method.len();
        let mut close = request.version == Some(0);
        let mut body = BodyLength::Bytes(0);
        let mut expects_continue = false;
        for header in request.headers.iter() {
            let name = header.name;
            if name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).map_err(|_| Malformed)?;
                let length: usize = text.trim().parse().map_err(|_| Malformed)?;
                if length > BODY_BYTES_MAX {
                    return Err(Malformed);
                }
                body = BodyLength::Bytes(length);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = BodyLength::Chunked;
            } else if name.eq_ignore_ascii_case("connection") {
                close |= header.value.eq_ignore_ascii_case(b"close");
            } else if name.eq_ignore_ascii_case("expect") {
                expects_continue = true;
            }
        }
        let bytes = buffer.split_to(length).freeze();
        Ok(Some(Self {
            bytes,
            method_end,
            path,
            body,
            close,
            expects_continue,
        }))
    }

    pub fn method(&self) -> &str {
        self.text(0, self.method_end)
    }

    /// The path with its query.
    pub fn path(&self) -> &str {
        self.text(self.path.0, self.path.1)
    }

    fn text(&self, start: usize, end: usize) -> &str {
        std::str::from_utf8(&self.bytes[start..end]).unwrap_or_default()
    }

    /// All headers, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&self.bytes).is_err() {
            return Vec::new();
        }
        let headers = request.headers.iter();
        let pair = |header: &httparse::Header<'_>| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_ascii_lowercase(), value)
        };
        headers.map(pair).collect()
    }
}

/// A chunked body on its way.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    body: BytesMut,
}

impl Chunks {
    /// Takes chunks from the front of the buffer; the body, once it is whole. Trailers are dropped.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        loop {
            let (start, size) = match httparse::parse_chunk_size(buffer).map_err(|_| Malformed)? {
                httparse::Status::Complete(found) => found,
                httparse::Status::Partial => return Ok(None),
            };
            let size = usize::try_from(size).map_err(|_| Malformed)?;
            if size > BODY_BYTES_MAX || self.body.len() + size > BODY_BYTES_MAX {
                return Err(Malformed);
            }
            if size == 0 {
                let rest = &buffer[start..];
                let end = if rest.starts_with(b"\r\n") {
                    Some(2)
                } else {
                    memchr::memmem::find(rest, b"\r\n\r\n").map(|at| at + 4)
                };
                let Some(end) = end else { return Ok(None) };
                buffer.advance(start + end);
                return Ok(Some(std::mem::take(&mut self.body).freeze()));
            }
            if buffer.len() < start + size + 2 {
                return Ok(None);
            }
            self.body.extend_from_slice(&buffer[start..start + size]);
            buffer.advance(start + size + 2);
        }
    }
}
