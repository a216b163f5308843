//! One connection: reads requests, finds out what each wants, and has the answer played.

use std::io;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::control;
use super::fast::FastCache;
use super::http::{BodyLength, Chunks, Head};
use super::shared::Shared;
use crate::plan::Plan;
use crate::wire::{self, Ask};
use crate::{Outcome, Request, Wire};

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Received and not yet used.
    pub(super) input: BytesMut,
    /// Being written; kept to be used again.
    pub(super) output: Vec<u8>,
    cache: FastCache,
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Next,
    Close,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        let cache = FastCache::default();
        Self {
            stream,
            input: BytesMut::with_capacity(4096),
            output: Vec::new(),
            cache,
        }
    }

    /// Answers requests until the client goes or a fault ends the connection. Failures of the
    /// socket end it too; there is nobody to tell.
    pub async fn serve(&mut self, shared: &Shared) {
        while let Ok(Some((head, body))) = self.read_request().await {
            match self.answer(shared, &head, &body).await {
                Ok(After::Next) if !head.close => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Holds the connection and reads nothing until the task is dropped.
    pub async fn stall_unread(&self) {
        std::future::pending::<()>().await;
    }

    /// Ends the connection with a reset.
    pub fn reset(&self) {
        // If the option cannot be set the connection is closed in order, which no caller can do
        // anything about.
        let _ = self.stream.set_zero_linger();
    }

    /// Reads one request; none if the client went between two.
    async fn read_request(&mut self) -> io::Result<Option<(Head, Bytes)>> {
        let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
        let head = loop {
            if !self.input.is_empty()
                && let Some(head) = Head::take(&mut self.input).map_err(malformed)?
            {
                break head;
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        };
        if head.expects_continue {
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        let body = match head.body {
            BodyLength::Bytes(length) => {
                self.input.reserve(length.saturating_sub(self.input.len()));
                while self.input.len() < length {
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Ok(None);
                    }
                }
                self.input.split_to(length).freeze()
            }
            BodyLength::Chunked => {
                let mut chunks = Chunks::default();
                loop {
                    if let Some(body) = chunks.take(&mut self.input).map_err(malformed)? {
                        break body;
                    }
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Ok(None);
                    }
                }
            }
        };
        Ok(Some((head, body)))
    }

    async fn answer(&mut self, shared: &Shared, head: &Head, body: &Bytes) -> io::Result<After> {
        if let Some(rest) = head.path().strip_prefix("/__") {
            let answer = control::answer(shared, head.method(), rest, body);
            return self.write_plain(answer.status, &answer.body).await;
        }
        let wire = match head.method() {
            "POST" => Wire::of_path(head.path()),
            _ => None,
        };
        if let Some(wire) = wire
            && let Some(plan) = self.cache.plan(shared, wire, head.path(), body)
        {
            let number = shared.next_call();
            return Ok(self.play(&plan, number, shared).await.1);
        }
        self.answer_kept(shared, head, body, wire).await
    }

    /// Keeps the request and answers it by the script.
    async fn answer_kept(
        &mut self,
        shared: &Shared,
        head: &Head,
        body: &Bytes,
        wire: Option<Wire>,
    ) -> io::Result<After> {
        let wire = wire.filter(|wire| shared.with_script(|script| script.wires().contains(wire)));
        let mut request = Request {
            index: 0,
            call: wire.map(|_| shared.next_call()),
            at_ms: shared.now_ms(),
            method: head.method().to_owned(),
            path: head.path().to_owned(),
            headers: head.headers(),
            body: read_body(body),
            wire,
            outcome: Outcome::Open,
        };
        shared.keep(&mut request);
        let (Some(wire), Some(number)) = (request.wire, request.call) else {
            let list = (request.method == "GET").then(|| {
                shared.with_script(|script| {
                    wire::list_answer(&request.path, &script.models, script.wires())
                })
            });
            let after = match list.flatten() {
                Some(list) => self.write_plain(200, &list).await,
                None => self.write_plain(404, NOT_FOUND).await,
            };
            shared.set_outcome(request.index, Outcome::Sent);
            return after;
        };
        let reply = shared.choose(&request);
        let ask = Ask {
            wire,
            model: request.model(),
            stream: request.streamed(),
            include_usage: request.include_usage(),
            request: Some(&request),
        };
        let plan = Plan::new(wire::render(&reply, &ask), &reply, Some(number));
        let (outcome, after) = self.play(&plan, number, shared).await;
        shared.set_outcome(request.index, outcome);
        Ok(after)
    }

    async fn write_plain(&mut self, status: u16, body: &str) -> io::Result<After> {
        let length = body.len();
        self.output.clear();
        self.output.extend_from_slice(
            format!(
                "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        );
        self.stream.write_all(&self.output).await?;
        Ok(After::Next)
    }
}

/// As OpenAI answers an unknown path.
const NOT_FOUND: &str = r#"{"error":{"message":"Invalid URL","type":"invalid_request_error","param":null,"code":null}}"#;

fn read_body(body: &Bytes) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    let text = || Value::String(String::from_utf8_lossy(body).into_owned());
    serde_json::from_slice(body).unwrap_or_else(|_| text())
}
