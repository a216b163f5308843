//! The relay's side of the model's wire (OpenAI chat completions, streamed): sends a request, takes deltas off its
//! answer. Strings stay in the JSON form that they came in, since they go on as JSON.

use std::net::SocketAddr;
use std::sync::Mutex;

use anyhow::Context;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Body, Client, ClientError};

const TOOLS: &str = r#"[{"type":"function","function":{"name":"lookup","description":"Looks a number up","parameters":{"type":"object","properties":{}}}}]"#;

/// The model server and the connections to it that nobody uses at the moment.
#[derive(Debug)]
pub struct Model {
    address: SocketAddr,
    idle: Mutex<Vec<Client>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the model cannot be asked")]
    Client(#[from] ClientError),
    #[error("the model's answer ended early")]
    Ended,
    #[error("the model's answer is not of its wire")]
    Form(#[source] serde_json::Error),
    #[error("the model answered with status {0}")]
    Status(u16),
}

impl Model {
    /// The model server at `base`, `http://` and an address.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let address = base.strip_prefix("http://").unwrap_or(base);
        let address = address
            .parse()
            .with_context(|| format!("{base} is no address"))?;
        Ok(Self {
            address,
            idle: Mutex::default(),
        })
    }

    /// Asks for an answer to these messages, JSON objects separated by commas.
    pub async fn ask(&self, messages: &str) -> Result<Answer, ModelError> {
        let body = format!(
            r#"{{"model":"scripted","messages":[{messages}],"stream":true,"tools":{TOOLS}}}"#
        );
        let idle = self.idle().pop();
        let mut client = idle.unwrap_or_else(|| Client::new(self.address));
        let path = "/v1/chat/completions";
        let head = client.send("POST", path, "", body.as_bytes()).await?;
        if head.status != 200 {
            return Err(ModelError::Status(head.status));
        }
        Ok(Answer {
            client,
            body: head.body,
            text: Vec::new(),
        })
    }

    /// Takes back the connection of an answer that was read to its end.
    pub fn keep(&self, answer: Answer) {
        self.idle().push(answer.client);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().expect("no holder of this lock panics")
    }
}

/// An answer on its way.
#[derive(Debug)]
pub struct Answer {
    client: Client,
    body: Body,
    text: Vec<u8>,
}

/// What the deltas that came together say.
#[derive(Debug, Default)]
pub struct Said {
    /// Tokens, each a JSON string.
    pub tokens: Vec<String>,
    pub call: Option<Call>,
    /// The answer is whole.
    pub done: bool,
}

/// The beginning of a tool call, or more of its arguments.
#[derive(Debug, Default)]
pub struct Call {
    pub id: Option<String>,
    pub arguments: String,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    tool_calls: Vec<CallDelta>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    id: Option<String>,
    function: FunctionDelta,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    arguments: String,
}

impl Answer {
    /// What comes next; waits for something to come.
    pub async fn next(&mut self) -> Result<Said, ModelError> {
        let mut said = Said::default();
        while said.tokens.is_empty() && said.call.is_none() && !said.done {
            if !self.client.read(&mut self.body, &mut self.text).await? {
                return Err(ModelError::Ended);
            }
            self.take(&mut said)?;
        }
        if said.done {
            // The end of the body, so that the connection can be used again.
            while self.client.read(&mut self.body, &mut self.text).await? {}
        }
        Ok(said)
    }

    fn take(&mut self, said: &mut Said) -> Result<(), ModelError> {
        let mut used = 0;
        while let Some(end) = memmem::find(&self.text[used..], b"\n\n") {
            let frame = &self.text[used..used + end];
            used += end + 2;
            let Some(data) = frame.strip_prefix(b"data: ") else {
                continue;
            };
            if data == b"[DONE]" {
                said.done = true;
                continue;
            }
            let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(ModelError::Form)?;
            for choice in chunk.choices {
                said.add(choice.delta);
            }
        }
        self.text.drain(..used);
        Ok(())
    }
}

impl Said {
    fn add(&mut self, delta: Delta<'_>) {
        if let Some(content) = delta.content.filter(|content| content.get() != "\"\"") {
            self.tokens.push(content.get().to_owned());
        }
        for part in delta.tool_calls {
            let call = self.call.get_or_insert_default();
            if part.id.is_some() {
                call.id = part.id;
            }
            call.arguments.push_str(&part.function.arguments);
        }
    }
}
