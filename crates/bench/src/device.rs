//! A client-side session as a device sees it: made, asked for inference turns and for calls of the agent's tool; and the
//! model itself, asked for the same answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::client::Client;
use crate::load::Work;
use crate::sse::Frames;
use crate::turn::{Script, TurnError, ask, number};

const SESSIONS: &str = "/api/v1/agents/sessions";

/// A device with a connection and a session of its own.
#[derive(Debug)]
pub struct Device {
    client: Client,
    script: Arc<Script>,
    frames: Frames,
    session: String,
    calls: u64,
}

/// An inference turn that was read to its end.
#[derive(Debug)]
pub struct Inferred {
    pub time: Duration,
    /// What the next turn may continue from.
    pub id: String,
}

#[derive(Deserialize)]
struct Made {
    session_id: String,
}

#[derive(Deserialize)]
struct Completed {
    response: Id,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Output {
    content: String,
    is_error: bool,
}

impl Device {
    pub async fn begin(address: SocketAddr, script: Arc<Script>) -> Result<Self, TurnError> {
        let mut device = Self {
            client: Client::new(address),
            script,
            frames: Frames::default(),
            session: String::new(),
            calls: 0,
        };
        let script = &device.script;
        let body = format!(
            r#"{{"agent_type":"{}","query":"{}"}}"#,
            script.agent_type, script.input
        );
        let made = device.post(SESSIONS, &body).await?;
        let made: Made = serde_json::from_slice(&made).map_err(|_| TurnError::NoId)?;
        device.session = made.session_id;
        Ok(device)
    }

    /// A turn of the server's model, which continues from `previous`.
    pub async fn infer(&mut self, previous: Option<&str>) -> Result<Inferred, TurnError> {
        let inferred = self.stream(previous).await;
        if inferred.is_err() {
            self.client.disconnect();
        }
        inferred
    }

    async fn stream(&mut self, previous: Option<&str>) -> Result<Inferred, TurnError> {
        let path = format!("{SESSIONS}/{}/inference", self.session);
        let continued = previous.map_or(String::new(), |previous| {
            format!(r#","previous_response_id":"{previous}""#)
        });
        let input = self.script.input;
        let body = format!(r#"{{"input":"{input}","stream":true{continued}}}"#);
        let begun = Instant::now();
        let head = ask(&mut self.client, "POST", &path, &self.script.headers, &body).await?;
        self.frames.clear();
        let (mut rest, mut tokens, mut ended) = (head.body, 0, None);
        while self.client.read(&mut rest, &mut self.frames.text).await? {
            while let Some(frame) = self.frames.take() {
                if frame.event == b"response.output_text.delta" {
                    tokens += number(frame.data, b"tok");
                } else if frame.event == b"response.completed" {
                    let completed: Result<Completed, _> = serde_json::from_slice(frame.data);
                    let id = completed.map_err(|_| TurnError::NoId)?.response.id;
                    ended = Some(Inferred {
                        time: begun.elapsed(),
                        id,
                    });
                }
            }
        }
        let expected = self.script.tokens;
        if tokens != expected {
            let found = tokens;
            return Err(TurnError::Tokens { found, expected });
        }
        ended.ok_or(TurnError::NotDone)
    }

    /// A call of the agent's tool.
    pub async fn execute(&mut self) -> Result<Duration, TurnError> {
        self.calls += 1;
        let path = format!("{SESSIONS}/{}/execute", self.session);
        let body = format!(
            r#"{{"tool_name":"lookup","arguments":{{}},"tool_call_id":"call_{}"}}"#,
            self.calls
        );
        let begun = Instant::now();
        let output = self.post(&path, &body).await?;
        let time = begun.elapsed();
        match serde_json::from_slice::<Output>(&output) {
            Ok(output) if !output.is_error => Ok(time),
            Ok(output) => Err(TurnError::NotCompleted(output.content)),
            Err(_) => Err(TurnError::NoId),
        }
    }

    /// The least that a request can ask for that shows a key.
    pub async fn whoami(&mut self) -> Result<Duration, TurnError> {
        let begun = Instant::now();
        let path = "/api/v1/agents/whoami";
        let head = ask(&mut self.client, "GET", path, &self.script.headers, "").await?;
        self.client.read_all(head).await?;
        Ok(begun.elapsed())
    }

    async fn post(&mut self, path: &str, body: &str) -> Result<Vec<u8>, TurnError> {
        let head = ask(&mut self.client, "POST", path, &self.script.headers, body).await?;
        Ok(self.client.read_all(head).await?)
    }
}

/// One inference turn after another, none continuing another.
pub struct Infers(pub Device);

impl Work for Infers {
    async fn once(&mut self) -> Result<Duration, TurnError> {
        Ok(self.0.infer(None).await?.time)
    }
}

/// One tool call after another.
pub struct Executes(pub Device);

impl Work for Executes {
    async fn once(&mut self) -> Result<Duration, TurnError> {
        self.0.execute().await
    }
}

/// One look at its own key after another.
pub struct Asks(pub Device);

impl Work for Asks {
    async fn once(&mut self) -> Result<Duration, TurnError> {
        self.0.whoami().await
    }
}

/// The model without a server in between.
#[derive(Debug)]
pub struct Direct {
    client: Client,
    script: Arc<Script>,
    text: Vec<u8>,
    /// Messages of the request, JSON objects with commas between.
    messages: String,
}

impl Direct {
    /// Asks with one message, as a new session does.
    pub fn new(model: SocketAddr, script: Arc<Script>) -> Self {
        let messages = format!(r#"{{"role":"user","content":"{}"}}"#, script.input);
        Self {
            client: Client::new(model),
            script,
            text: Vec::new(),
            messages,
        }
    }

    /// Adds an answer and the next question, as a continued turn does.
    pub fn grow(&mut self) {
        let answer: String = (0..self.script.tokens)
            .map(|n| format!("tok{n} "))
            .collect();
        let more = format!(
            r#",{{"role":"assistant","content":"{answer}"}},{{"role":"user","content":"{}"}}"#,
            self.script.input
        );
        self.messages.push_str(&more);
    }
}

impl Work for Direct {
    async fn once(&mut self) -> Result<Duration, TurnError> {
        let body = format!(
            r#"{{"model":"scripted","messages":[{}],"stream":true,"stream_options":{{"include_usage":true}}}}"#,
            self.messages
        );
        let begun = Instant::now();
        let head = ask(&mut self.client, "POST", "/v1/chat/completions", "", &body).await?;
        self.text.clear();
        let mut rest = head.body;
        while self.client.read(&mut rest, &mut self.text).await? {}
        let time = begun.elapsed();
        // Each is a JSON string of its own; elsewhere the word stands in names such as `prompt_tokens`.
        let (found, expected) = (number(&self.text, b"\"tok"), self.script.tokens);
        if found == expected {
            Ok(time)
        } else {
            Err(TurnError::Tokens { found, expected })
        }
    }
}
