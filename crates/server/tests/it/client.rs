//! Requests and answers, and a reader of event streams that is stricter than any client.

use crate::conforms::{self, Expected};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use server::caller::Peer;
use server::front::Front;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub struct Ask {
    front: Arc<Front>,
    request: Request<Body>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One event of a stream, and its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub id: Option<u64>,
    pub event: String,
    pub data: Value,
}

/// A stream that is being read.
pub struct Live {
    pub status: u16,
    pub headers: HeaderMap,
    expected: Option<Expected>,
    chunks: axum::body::BodyDataStream,
    /// Everything that has come.
    pub bytes: Vec<u8>,
    read: usize,
}

impl Ask {
    pub fn new(front: &Arc<Front>, method: &str, path: &str) -> Self {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
        *request.uri_mut() = path.parse().expect("a path");
        request
            .headers_mut()
            .insert("host", HeaderValue::from_static("localhost"));
        let peer = Peer(IpAddr::V4(Ipv4Addr::LOCALHOST));
        request.extensions_mut().insert(peer);
        Self {
            front: front.clone(),
            request,
        }
    }

    pub fn peer(mut self, address: &str) -> Self {
        let peer = Peer(address.parse().expect("an address"));
        self.request.extensions_mut().insert(peer);
        self
    }

    pub fn key(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        self.request.headers_mut().insert(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.raw(body.to_string().as_bytes())
            .header("content-type", "application/json")
    }

    pub fn raw(mut self, body: &[u8]) -> Self {
        *self.request.body_mut() = Body::from(body.to_vec());
        self
    }

    pub fn body(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }

    /// The whole answer.
    pub async fn send(self) -> Answer {
        let expected = self.expected();
        let (parts, body) = self.response().await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let body = body.expect("no body breaks off in process");
        let status = parts.status.as_u16();
        if let Some(expected) = expected {
            expected.check(status, &parts.headers, &body);
        }
        Answer {
            status,
            headers: parts.headers,
            body,
        }
    }

    /// The answer as it comes.
    pub async fn open(self) -> Live {
        let expected = self.expected();
        let (parts, body) = self.response().await.into_parts();
        let status = parts.status.as_u16();
        if let Some(expected) = &expected {
            expected.check_head(status, &parts.headers);
        }
        Live {
            status,
            headers: parts.headers,
            expected,
            chunks: body.into_data_stream(),
            bytes: Vec::new(),
            read: 0,
        }
    }

    /// What the document says of this request's answers.
    fn expected(&self) -> Option<Expected> {
        conforms::expected(self.request.method(), self.request.uri().path())
    }

    async fn response(self) -> Response<Body> {
        self.front.answer(self.request).await
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("visible characters"))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The body of a failure, checked to be in the one form.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(body["status_code"], status);
        assert_eq!(body["detail"], body["message"]);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        // The SDKs' own path has the object that they read.
        let class_or_object = body["error"].is_string() || body["error"]["code"] == body["code"];
        assert!(class_or_object && body["retryable"].is_boolean(), "{body}");
        assert!(body["errors"].is_array(), "{body}");
        assert!(!body["message"].as_str().unwrap().is_empty());
        body
    }

    pub fn frames(&self) -> Vec<Frame> {
        frames(&self.body)
    }
}

impl Live {
    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let rest = &self.bytes[self.read..];
            if let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                let frame = frame(&rest[..end]);
                self.read += end + 2;
                if let Some(expected) = &self.expected {
                    expected.check_value(self.status, "text/event-stream", &frame.data);
                }
                return Some(frame);
            }
            let chunk = self.chunks.next().await?;
            self.bytes
                .extend(chunk.expect("no body breaks off in process"));
        }
    }

    /// The first event of this type from here on.
    pub async fn until(&mut self, event: &str) -> Frame {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|| panic!("the stream ended without {event}"));
            if frame.event == event {
                return frame;
            }
        }
    }

    /// Everything up to the end.
    pub async fn rest(mut self) -> Vec<u8> {
        while let Some(chunk) = self.chunks.next().await {
            self.bytes
                .extend(chunk.expect("no body breaks off in process"));
        }
        self.bytes
    }

    /// Bytes that came after the last whole event.
    pub fn tail(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// The next bytes, whatever they are; `None` at the end.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        let chunk = self
            .chunks
            .next()
            .await?
            .expect("no body breaks off in process");
        self.bytes.extend_from_slice(&chunk);
        Some(chunk)
    }
}

/// The events in `bytes`, which must hold whole ones only.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(
        text.is_empty() || text.ends_with("\n\n"),
        "cut off: {text:?}"
    );
    text.split_terminator("\n\n")
        .map(|block| frame(block.as_bytes()))
        .collect()
}

fn frame(block: &[u8]) -> Frame {
    let text = std::str::from_utf8(block).expect("UTF-8");
    assert!(!text.contains('\r'), "{text:?}");
    let lines: Vec<&str> = text
        .split('\n')
        .filter(|line| !line.starts_with(':'))
        .collect();
    let field = |name: &str| {
        let mut values = lines.iter().filter_map(|line| line.strip_prefix(name));
        let value = values.next();
        assert!(values.next().is_none(), "twice {name:?}: {text:?}");
        value
    };
    let (id, event, data) = (field("id: "), field("event: "), field("data: "));
    let known = [id, event, data].iter().flatten().count();
    assert_eq!(known, lines.len(), "{text:?}");
    let frame = Frame {
        id: id.map(|id| id.parse().expect("a number")),
        event: event.expect("an event").to_owned(),
        data: serde_json::from_str(data.expect("data")).expect("JSON"),
    };
    assert_eq!(frame.data["type"], *frame.event);
    if let Some(id) = frame.id {
        assert_eq!(frame.data["seq"], id);
        assert!(frame.data["run_id"].is_string() && frame.data["at"].is_string());
    }
    frame
}
