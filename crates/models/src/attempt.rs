//! One attempt at a turn in one lane over HTTP: the request, the stream, its time-outs and its end. It does not retry
//! and knows no other lane.

use crate::answer::{Answer, Stop};
use crate::config::Wire;
use crate::fault::{self, Fault};
use crate::frames::Frames;
use crate::lane::{Lane, Remote};
use crate::prompt::{Prompt, ToolNames};
use crate::transport::Response;
use crate::wire::Decoder;
use domain::limits::TURN_BYTES_MAX;
use domain::ports::model::{TurnEvent, TurnFinish, TurnRequest};
use domain::seeded::Seeded;
use domain::usage::Usage;
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Bytes of an error's body that are read; providers need a few hundred.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// Bytes of a stream, whatever they say: an answer within its limit needs a small part of this.
const STREAM_BYTES_MAX: usize = 64 * TURN_BYTES_MAX;
/// Chunks that are taken together at most.
const ALONG_MAX: usize = 64;
/// How long the end of the body is waited for after the answer's own end, so that the connection can be used again.
const TRAIL: Duration = Duration::from_millis(20);
/// The same where the usage may follow the end.
const LONG_TRAIL: Duration = Duration::from_millis(500);

/// A stream that has begun: its status said that an answer comes.
pub(crate) struct Attempt {
    response: Response,
    /// What was read last.
    input: Vec<u8>,
    frames: Frames,
    decoder: Decoder,
    answer: Answer,
    wire: Wire,
    names: ToolNames,
    /// Until when the first byte must come; `None` once it has.
    first_byte: Option<Instant>,
    bytes: usize,
    /// Found behind events that are to be handed on first.
    fault: Option<Fault>,
}

/// Sends the request.
pub(crate) async fn open(
    lane: &Lane,
    remote: &Remote,
    model: &str,
    request: &TurnRequest,
) -> Result<Attempt, Fault> {
    let result = send(lane, remote, model, request).await;
    result
        .map_err(|fault| fault.without(lane.config.api_key.as_ref().map(|key| key.expose_secret())))
}

async fn send(
    lane: &Lane,
    remote: &Remote,
    model: &str,
    request: &TurnRequest,
) -> Result<Attempt, Fault> {
    let names = ToolNames::new(request.tools.iter().map(|tool| tool.name.as_str()));
    let decoder = Decoder::new(remote.wire).ok_or(Fault::Unusable)?;
    let body = remote.wire.body(&Prompt {
        lane: &lane.config,
        model,
        request,
        names: &names,
    })?;
    let sending = Response::of(remote, model, body);
    let timeouts = lane.config.timeouts;
    let first_byte = Instant::now() + timeouts.first_byte();
    let response = match timeout_at(first_byte, sending).await {
        Err(_) => return Err(Fault::FirstByte(timeouts.first_byte())),
        Ok(Err(fault)) => return Err(fault),
        Ok(Ok(response)) => response,
    };
    if !response.status().is_success() {
        return Err(refused(response, timeouts.between_chunks()).await);
    }
    if is_not_a_stream(&response, remote.wire) {
        return Err(not_streamed(response, timeouts.between_chunks()).await);
    }
    Ok(Attempt {
        response,
        input: Vec::new(),
        frames: Frames::new(remote.wire.framing()),
        decoder,
        answer: Answer::default(),
        wire: remote.wire,
        names,
        first_byte: Some(first_byte),
        bytes: 0,
        fault: None,
    })
}

async fn refused(response: Response, wait: Duration) -> Fault {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = beginning(response, wait).await;
    fault::of_status(status, &headers, &body)
}

/// As much of a body as an error may have, or what came of it in time.
async fn beginning(mut response: Response, wait: Duration) -> Vec<u8> {
    let until = Instant::now() + wait;
    let mut body = Vec::new();
    while let Ok(Ok(true)) = timeout_at(until, response.read(&mut body)).await {
        if body.len() >= ERROR_BYTES_MAX {
            body.truncate(ERROR_BYTES_MAX);
            break;
        }
    }
    body
}

/// A web page or a single JSON document where events were asked for.
fn is_not_a_stream(response: &Response, wire: Wire) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html") || (kind.starts_with("application/json") && wire != Wire::Ollama)
}

async fn not_streamed(response: Response, wait: Duration) -> Fault {
    let status = response.status().as_u16();
    let body = beginning(response, wait).await;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    fault::of_body(&body).unwrap_or(Fault::NotApi { status })
}

impl Attempt {
    /// The next delta; `None` once the answer is whole. Dropping the attempt instead closes the connection.
    pub(crate) async fn next(&mut self, lane: &Lane) -> Result<Option<TurnEvent>, Fault> {
        loop {
            if let Some(event) = self.answer.events.pop_front() {
                return Ok(Some(event));
            }
            if let Some(fault) = self.fault.take() {
                let key = lane.config.api_key.as_ref();
                return Err(fault.without(key.map(|key| key.expose_secret())));
            }
            if self.answer.done {
                self.read_trail().await;
                return Ok(None);
            }
            self.read(lane).await?;
        }
    }

    async fn read(&mut self, lane: &Lane) -> Result<(), Fault> {
        let timeouts = lane.config.timeouts;
        let reading = self.response.read(&mut self.input);
        let read = match self.first_byte {
            Some(until) => timeout_at(until, reading)
                .await
                .map_err(|_| Fault::FirstByte(timeouts.first_byte()))?,
            None => timeout(timeouts.between_chunks(), reading)
                .await
                .map_err(|_| Fault::Stalled(timeouts.between_chunks()))?,
        };
        self.accept(read)?;
        self.first_byte = None;
        for _ in 0..ALONG_MAX {
            if self.answer.done || self.fault.is_some() {
                break;
            }
            let Some(read) = self.response.read_along(&mut self.input).await else {
                break;
            };
            if let Err(fault) = self.accept(read) {
                self.fault = Some(fault);
            }
        }
        Ok(())
    }

    /// Takes what was read; false where the body had ended instead.
    fn accept(&mut self, read: Result<bool, Fault>) -> Result<(), Fault> {
        if !read? {
            if Seeded::BrokenAnswerWhole.is_on() {
                self.answer.done = true;
                return Ok(());
            }
            return Err(Fault::Truncated);
        }
        self.bytes = self.bytes.saturating_add(self.input.len());
        if self.bytes > STREAM_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        self.take();
        Ok(())
    }

    fn take(&mut self) {
        let Self {
            input,
            frames,
            decoder,
            answer,
            ..
        } = self;
        let fed = frames.feed(input, &mut |frame| {
            // Gemini's usage may follow its end.
            if answer.done && !matches!(decoder, Decoder::Gemini(_)) {
                return Ok(());
            }
            decoder.frame(frame, answer)
        });
        input.clear();
        if let Err(fault) = fed
            && !self.answer.done
        {
            self.fault = Some(fault);
        }
    }

    /// Reads on to the end of the body, but not for long: an unread end would cost the connection.
    async fn read_trail(&mut self) {
        let trail = match self.wire {
            Wire::Gemini => LONG_TRAIL,
            _ => TRAIL,
        };
        let until = Instant::now() + trail;
        let mut room = ERROR_BYTES_MAX;
        while let Ok(Ok(true)) = timeout_at(until, self.response.read(&mut self.input)).await {
            room = room.saturating_sub(self.input.len());
            self.take();
            if room == 0 {
                break;
            }
        }
    }

    pub(crate) fn finish(&mut self, lane: &Lane, request: &TurnRequest) -> TurnFinish {
        let usage = self.usage(lane, request);
        TurnFinish {
            calls: self.answer.take_calls(|told| self.names.real(told)),
            signatures: self.answer.take_signatures(),
            usage,
            truncated: self.answer.stop == Some(Stop::Length),
        }
    }

    pub(crate) fn usage(&self, lane: &Lane, request: &TurnRequest) -> Usage {
        self.answer
            .usage(&lane.config.price, || Prompt::bytes(request))
    }

    /// Whether the provider began to answer, and so will want to be paid.
    pub(crate) fn has_begun(&self) -> bool {
        self.answer.has_content() || self.answer.reported.input.is_some()
    }
}
