//! Requests read from whatever pieces arrive.

use bytes::BytesMut;

use super::{BodyLength, Chunks, Head, Malformed};

const HEAD: &str = "POST /v1/x?alt=sse HTTP/1.1\r\nContent-Length: 5\r\nX-Key: V \r\n\r\nhello";

#[test]
fn head_is_read_once_it_is_whole() {
    let end = HEAD.len() - "hello".len();
    for length in 0..end {
        let mut buffer = BytesMut::from(&HEAD[..length]);
        assert!(Head::take(&mut buffer).unwrap().is_none());
        assert_eq!(buffer.len(), length);
    }
    let mut buffer = BytesMut::from(HEAD);
    let head = Head::take(&mut buffer).unwrap().unwrap();
    assert_eq!((head.method(), head.path()), ("POST", "/v1/x?alt=sse"));
    assert_eq!((head.body, head.close), (BodyLength::Bytes(5), false));
    let names = [("content-length", "5"), ("x-key", "V")];
    assert_eq!(
        head.headers(),
        names.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(&buffer[..], b"hello");
}

#[test]
fn head_that_is_none_is_refused() {
    let bad = [
        "\u{1} / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ];
    for bad in bad {
        assert_eq!(Head::take(&mut BytesMut::from(bad)).unwrap_err(), Malformed);
    }
    let endless = format!("GET /{}", "a".repeat(70_000));
    assert_eq!(
        Head::take(&mut BytesMut::from(endless.as_str())).unwrap_err(),
        Malformed
    );
}

#[test]
fn client_that_wants_to_close_is_understood() {
    let closes = [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: Close\r\n\r\n",
    ];
    for text in closes {
        assert!(
            Head::take(&mut BytesMut::from(text))
                .unwrap()
                .unwrap()
                .close
        );
    }
}

#[test]
fn chunked_body_is_read_from_any_pieces() {
    let sent = b"3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nGET";
    for split in 0..sent.len() {
        let mut chunks = Chunks::default();
        let mut buffer = BytesMut::from(&sent[..split]);
        let early = chunks.take(&mut buffer).unwrap();
        buffer.extend_from_slice(&sent[split..]);
        let body = early.or_else(|| chunks.take(&mut buffer).unwrap());
        assert_eq!(body.unwrap(), "abc0123456789", "split at {split}");
        assert_eq!(&buffer[..], b"GET");
    }
    let mut wrong = BytesMut::from("zz\r\n");
    assert_eq!(Chunks::default().take(&mut wrong).unwrap_err(), Malformed);
}
