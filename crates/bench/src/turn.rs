//! One turn as a client sees it: a new thread, a run on it, its stream read to the end. A turn counts only if its text
//! is whole, its events are numbered without a gap, and it ended as completed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memchr::memmem;
use serde::Deserialize;

use crate::client::{Client, ClientError, Head};
use crate::sse::{Frame, Frames};

const THREADS: &str = "/api/v1/agents/threads";
const RUNS: &str = "/api/v1/agents/runs";
/// The longest that a turn may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Length of the time that a stamped token tells, in hexadecimal digits.
const STAMP_DIGITS: usize = 16;

/// What a client asks for and what it expects.
#[derive(Debug, Clone)]
pub struct Script {
    /// Header lines, each ended with CR LF.
    pub headers: String,
    pub agent_type: &'static str,
    pub input: &'static str,
    /// Tokens that the answer has; each begins with `tok` and its number.
    pub tokens: usize,
    /// Tokens tell when the model sent them, `tok0@` and 16 digits.
    pub stamped: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    #[error("the turn could not be asked for or read")]
    Client(#[from] ClientError),
    #[error("status {status}: {body}")]
    Status { status: u16, body: String },
    #[error("silent for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("event {found} came after {before}")]
    Gap { before: u64, found: u64 },
    #[error("{found} of {expected} tokens came")]
    Tokens { found: usize, expected: usize },
    #[error("the stream ended without `done`")]
    NotDone,
    #[error("the run did not complete: {0}")]
    NotCompleted(String),
    #[error("the stream did not end after `done`")]
    After,
    #[error("an answer has no id")]
    NoId,
}

impl TurnError {
    /// The same for failures of one kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Status { .. } => "status",
            Self::Silent => "silent",
            Self::Gap { .. } => "gap",
            Self::Tokens { .. } => "tokens",
            Self::NotDone => "not_done",
            Self::NotCompleted(_) => "not_completed",
            Self::After => "after",
            Self::NoId => "no_id",
        }
    }
}

/// What one turn took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// From asking for the run to its first event.
    pub first_event: Duration,
    /// From asking for the run to its end.
    pub run: Duration,
}

/// A client with a connection of its own.
#[derive(Debug)]
pub struct Session {
    client: Client,
    script: Arc<Script>,
    frames: Frames,
    /// For stamped tokens: milliseconds from being sent to being read.
    pub lags_ms: Vec<f64>,
}

/// A stream that was read up to some event.
#[derive(Debug)]
pub struct Reading {
    head: Head,
    seq: u64,
    tokens: usize,
    begun: Instant,
    first_event: Option<Duration>,
    /// Where the events name their run.
    run_id: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    id: String,
}

impl Session {
    pub fn new(address: SocketAddr, script: Arc<Script>) -> Self {
        Self {
            client: Client::new(address),
            script,
            frames: Frames::default(),
            lags_ms: Vec::new(),
        }
    }

    /// A thread and a run on it, to the end.
    pub async fn turn(&mut self) -> Result<Taken, TurnError> {
        let thread = self.create_thread().await?;
        self.run(&thread).await
    }

    /// The id of a new thread.
    pub async fn create_thread(&mut self) -> Result<String, TurnError> {
        let body = format!(r#"{{"agent_type":"{}"}}"#, self.script.agent_type);
        let made = self.post(THREADS, &body).await;
        self.mended(made)
    }

    /// A run on the thread, to the end.
    pub async fn run(&mut self, thread: &str) -> Result<Taken, TurnError> {
        let ran = async {
            let mut reading = self.begin(thread).await?;
            self.read_to_end(&mut reading).await
        }
        .await;
        self.mended(ran)
    }

    /// A run on the thread, up to the first event of this type; the stream stays open.
    pub async fn run_until(&mut self, thread: &str, event: &[u8]) -> Result<Reading, TurnError> {
        let ran = async {
            let mut reading = self.begin(thread).await?;
            while !self.read_frames(&mut reading, event).await? {}
            Ok(reading)
        }
        .await;
        self.mended(ran)
    }

    /// The events of a run that somebody began, to the end.
    pub async fn watch(&mut self, run_id: &str) -> Result<Taken, TurnError> {
        let watched = async {
            let path = format!("{RUNS}/{run_id}/events");
            let mut reading = self.open("GET", &path, "").await?;
            self.read_to_end(&mut reading).await
        }
        .await;
        self.mended(watched)
    }

    /// The rest of a run that was read up to some event.
    pub async fn finish(&mut self, reading: &mut Reading) -> Result<Taken, TurnError> {
        let read = self.read_to_end(reading).await;
        self.mended(read)
    }

    pub fn disconnect(&mut self) {
        self.client.disconnect();
    }

    /// A connection on which something failed is in no known state.
    fn mended<T>(&mut self, result: Result<T, TurnError>) -> Result<T, TurnError> {
        if result.is_err() {
            self.client.disconnect();
        }
        result
    }

    async fn post(&mut self, path: &str, body: &str) -> Result<String, TurnError> {
        let head = self.ask("POST", path, body).await?;
        let body = self.client.read_all(head).await?;
        let created: Created = serde_json::from_slice(&body).map_err(|_| TurnError::NoId)?;
        Ok(created.id)
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Head, TurnError> {
        ask(&mut self.client, method, path, &self.script.headers, body).await
    }

    async fn begin(&mut self, thread: &str) -> Result<Reading, TurnError> {
        let path = format!("{THREADS}/{thread}/runs");
        let body = format!(r#"{{"input":"{}"}}"#, self.script.input);
        self.open("POST", &path, &body).await
    }

    /// Asks for a stream.
    async fn open(&mut self, method: &str, path: &str, body: &str) -> Result<Reading, TurnError> {
        let begun = Instant::now();
        self.frames.clear();
        let head = self.ask(method, path, body).await?;
        Ok(Reading {
            head,
            seq: 0,
            tokens: 0,
            begun,
            first_event: None,
            run_id: None,
        })
    }

    async fn read_to_end(&mut self, reading: &mut Reading) -> Result<Taken, TurnError> {
        while !self.read_frames(reading, b"done").await? {}
        let run = reading.begun.elapsed();
        let expected = self.script.tokens;
        if reading.tokens != expected {
            let found = reading.tokens;
            return Err(TurnError::Tokens { found, expected });
        }
        // The end of the body, so that the connection can be used again.
        let mut rest = Vec::new();
        while self.client.read(&mut reading.head.body, &mut rest).await? {}
        if !rest.is_empty() || self.frames.take().is_some() {
            return Err(TurnError::After);
        }
        Ok(Taken {
            first_event: reading.first_event.unwrap_or(run),
            run,
        })
    }

    /// Reads what comes next; true once an event of this type was among it.
    async fn read_frames(
        &mut self,
        reading: &mut Reading,
        until: &[u8],
    ) -> Result<bool, TurnError> {
        let read = self
            .client
            .read(&mut reading.head.body, &mut self.frames.text);
        let more = tokio::time::timeout(SILENCE_MAX, read)
            .await
            .map_err(|_| TurnError::Silent)??;
        while let Some(frame) = self.frames.take() {
            if reading.first_event.is_none() {
                reading.first_event = Some(reading.begun.elapsed());
                reading.run_id = text_after(frame.data, b"\"run_id\":\"");
            }
            reading.check(&frame)?;
            if frame.event == b"message_delta" {
                reading.tokens += number(frame.data, b"tok");
                if self.script.stamped
                    && let Some(lag) = lag_ms(frame.data)
                {
                    self.lags_ms.push(lag);
                }
            }
            if frame.event == until {
                return Ok(true);
            }
            if frame.event == b"done" {
                let data = String::from_utf8_lossy(frame.data).into_owned();
                return Err(TurnError::NotCompleted(data));
            }
        }
        if more {
            Ok(false)
        } else {
            Err(TurnError::NotDone)
        }
    }
}

/// Sends a request and reads the head of its answer, which must be a success.
pub async fn ask(
    client: &mut Client,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<Head, TurnError> {
    let asked = client.send(method, path, headers, body.as_bytes());
    let head = tokio::time::timeout(SILENCE_MAX, asked)
        .await
        .map_err(|_| TurnError::Silent)??;
    if (200..300).contains(&head.status) {
        return Ok(head);
    }
    let body = client.read_all(head).await.unwrap_or_default();
    Err(TurnError::Status {
        status: head.status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// How often `what` is in the data.
pub fn number(data: &[u8], what: &[u8]) -> usize {
    memmem::find_iter(data, what).count()
}

impl Reading {
    /// The id of the run that is read.
    pub fn run_id(&self) -> Result<&str, TurnError> {
        self.run_id.as_deref().ok_or(TurnError::NoId)
    }

    fn check(&mut self, frame: &Frame<'_>) -> Result<(), TurnError> {
        let before = self.seq;
        let found = number_after(frame.data, b"\"seq\":").unwrap_or_default();
        if found != before + 1 {
            return Err(TurnError::Gap { before, found });
        }
        self.seq = found;
        let completed = memmem::find(frame.data, b"\"status\":\"completed\"").is_some();
        if frame.event == b"done" && !completed {
            let data = String::from_utf8_lossy(frame.data).into_owned();
            return Err(TurnError::NotCompleted(data));
        }
        Ok(())
    }
}

/// The number behind a key. Inside a JSON string the key's quotes would be escaped, so text cannot pass for it.
fn number_after(data: &[u8], key: &[u8]) -> Option<u64> {
    let start = memmem::find(data, key)? + key.len();
    let digits = data[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, byte| {
        Some(number.unwrap_or(0) * 10 + u64::from(byte - b'0'))
    })
}

/// The text behind a key and its opening quote, if it holds no escapes, as ids do not.
fn text_after(data: &[u8], key: &[u8]) -> Option<String> {
    let start = memmem::find(data, key)? + key.len();
    let length = memmem::find(&data[start..], b"\"")?;
    String::from_utf8(data[start..start + length].to_vec()).ok()
}

/// How long ago the token of this event was sent; `None` if it is not stamped.
fn lag_ms(data: &[u8]) -> Option<f64> {
    let start = memmem::find(data, b"@")? + 1;
    let digits = data.get(start..start + STAMP_DIGITS)?;
    let sent_us = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((unix_us() - sent_us as f64).max(0.0) / 1_000.0)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the model's stamps are the machine's own time"
)]
fn unix_us() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |since| since.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_their_key() {
        let data = br#"{"type":"x","seq":120,"delta":"\"seq\":7"}"#;
        assert_eq!(number_after(data, b"\"seq\":"), Some(120));
        assert_eq!(number_after(b"{}", b"\"seq\":"), None);
        assert_eq!(number_after(b"{\"seq\":null}", b"\"seq\":"), None);
    }

    #[test]
    fn ids_stand_behind_their_key() {
        let data = br#"{"type":"x","run_id":"0197-a","seq":1}"#;
        let key = b"\"run_id\":\"";
        assert_eq!(text_after(data, key).as_deref(), Some("0197-a"));
        assert_eq!(text_after(br#"{"run_id":null}"#, key), None);
        assert_eq!(text_after(br#"{"run_id":"cut"#, key), None);
    }

    #[test]
    fn lag_is_the_time_since_the_stamp() {
        let sent = unix_us() - 5_000.0;
        let data = format!(r#"{{"delta":"tok0@{:016x} "}}"#, sent as u64);
        let lag = lag_ms(data.as_bytes()).unwrap();
        assert!((5.0..1_000.0).contains(&lag), "{lag}");
        assert_eq!(lag_ms(br#"{"delta":"tok0 "}"#), None);
    }
}
