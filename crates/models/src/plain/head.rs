//! The heads of requests and answers (RFC 9112 §2 to §6).

use super::Lost;
use super::body::{Body, Chunks};
use reqwest::StatusCode;
use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use std::io::Write;
use url::{Position, Url};

/// Lines of an answer's head.
const LINES_MAX: usize = 100;

/// An answer's head and what it says of the body and the connection.
#[derive(Debug)]
pub(super) struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
    /// Another request may follow on the connection.
    pub keeps: bool,
}

#[derive(Debug)]
pub(super) enum Parsed {
    /// Its end has not come yet.
    Partial,
    /// One before the answer proper, of so many bytes.
    Interim(usize),
    Final(usize, Head),
}

/// The head of a request with a body of `length` bytes. `fields` are the lines that no header map needs to hold.
pub(super) fn request(
    url: &Url,
    authority: &str,
    fields: &[(&str, &str)],
    headers: &HeaderMap,
    length: usize,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(b"POST ");
    head.extend_from_slice(url[Position::BeforePath..Position::AfterQuery].as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    line(&mut head, "host", authority.as_bytes());
    for (name, value) in fields {
        line(&mut head, name, value.as_bytes());
    }
    for (name, value) in headers {
        line(&mut head, name.as_str(), value.as_bytes());
    }
    write!(head, "content-length: {length}\r\n\r\n").expect("a buffer takes everything");
    head
}

fn line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

pub(super) fn parse(input: &[u8]) -> Result<Parsed, Lost> {
    let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
    let mut response = httparse::Response::new(&mut lines);
    let httparse::Status::Complete(length) = response.parse(input).map_err(|_| Lost::Broken)?
    else {
        return Ok(Parsed::Partial);
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Lost::Broken)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Lost::Broken);
    }
    if status.is_informational() {
        return Ok(Parsed::Interim(length));
    }
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for line in response.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Lost::Broken)?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| Lost::Broken)?;
        headers.append(name, value);
    }
    let body = body(status, &headers)?;
    // What is told by the end of the connection, or in two ways, ends with it (RFC 9112 §6.3, §9.3).
    let framed_twice =
        headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    let keeps = response.version == Some(1)
        && body != Body::UntilClose
        && !framed_twice
        && !says(&headers, &CONNECTION, "close");
    Ok(Parsed::Final(
        length,
        Head {
            status,
            headers,
            body,
            keeps,
        },
    ))
}

fn body(status: StatusCode, headers: &HeaderMap) -> Result<Body, Lost> {
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Body::Length(0));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        let chunked = says(headers, &TRANSFER_ENCODING, "chunked");
        return Ok(if chunked {
            Body::Chunked(Chunks::Size)
        } else {
            Body::UntilClose
        });
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|value| {
        let text = value.to_str().ok()?.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    });
    let Some(first) = lengths.next() else {
        return Ok(Body::UntilClose);
    };
    let length: u64 = first.ok_or(Lost::Broken)?;
    if lengths.any(|other| other != first) {
        return Err(Lost::Broken);
    }
    Ok(Body::Length(length))
}

/// Whether the field's list has the word.
fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let list = value.to_str().unwrap_or_default();
        list.split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Result<(Body, bool), Lost> {
        match parse(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes())? {
            Parsed::Final(_, head) => Ok((head.body, head.keeps)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn framing_is_read_as_the_standard_says() {
        let chunked = Body::Chunked(Chunks::Size);
        for (lines, expected) in [
            ("Content-Length: 5\r\n", Ok((Body::Length(5), true))),
            (
                "content-length: 5\r\ncontent-length: 5\r\n",
                Ok((Body::Length(5), true)),
            ),
            (
                "content-length: 5\r\ncontent-length: 6\r\n",
                Err(Lost::Broken),
            ),
            ("content-length: +5\r\n", Err(Lost::Broken)),
            ("Transfer-Encoding: Chunked\r\n", Ok((chunked, true))),
            (
                "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
                Ok((chunked, false)),
            ),
            (
                "transfer-encoding: chunked\r\nconnection: x, Close\r\n",
                Ok((chunked, false)),
            ),
            ("", Ok((Body::UntilClose, false))),
        ] {
            assert_eq!(head(lines), expected, "{lines}");
        }
    }

    #[test]
    fn interim_heads_are_passed_over_and_partial_ones_waited_for() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert!(matches!(parse(interim), Ok(Parsed::Interim(25))));
        assert!(matches!(
            parse(b"HTTP/1.1 200 OK\r\nconte"),
            Ok(Parsed::Partial)
        ));
        assert!(parse(b"SSH-2.0-OpenSSH\r\n").is_err());
    }

    #[test]
    fn request_names_its_host_and_length() {
        let url = Url::parse("http://localhost:8000/v1/chat?alt=sse#x").unwrap();
        let head = request(
            &url,
            "localhost:8000",
            &[("accept", "a/b")],
            &HeaderMap::new(),
            3,
        );
        let expected = "POST /v1/chat?alt=sse HTTP/1.1\r\nhost: localhost:8000\r\naccept: a/b\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(String::from_utf8(head).unwrap(), expected);
    }
}
