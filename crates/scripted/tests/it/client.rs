//! A raw HTTP/1.1 client: sends bytes, tells exactly what came back and how it ended. Knows no
//! wire.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use scripted::{Reply, Script, Server, Wire};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything a test waits for; a test that reaches it fails.
const LIMIT: Duration = Duration::from_secs(60);

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Whole by HTTP's own framing.
    Whole,
    /// The server closed the connection first.
    Fin,
    /// The server reset the connection first.
    Reset,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The body without HTTP's framing.
    pub body: Vec<u8>,
    /// The sizes of the HTTP chunks.
    pub chunks: Vec<usize>,
    pub ended: Ended,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A connection and what was read from it.
pub struct Client {
    pub stream: TcpStream,
    pub read: Vec<u8>,
}

impl Client {
    pub async fn connect(server: &Server) -> Self {
        Self::connect_to(server.address()).await
    }

    pub async fn connect_to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: scripted\r\n{headers}Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Reads until the answer is whole or the connection ends.
    pub async fn answer(&mut self) -> Answer {
        loop {
            if let Some((answer, used)) = parse(&self.read)
                && answer.ended == Ended::Whole
            {
                self.read.drain(..used);
                return answer;
            }
            if let Some(ended) = self.more().await {
                let mut answer = parse(&self.read).map_or_else(nothing, |(answer, _)| answer);
                answer.ended = ended;
                return answer;
            }
        }
    }

    /// Reads until the body holds `text` and ends with a line; the connection stays.
    pub async fn until(&mut self, text: &str) -> Answer {
        loop {
            if let Some((answer, _)) = parse(&self.read)
                && String::from_utf8_lossy(&answer.body).contains(text)
                && answer.body.ends_with(b"\n")
            {
                return answer;
            }
            let ended = self.more().await;
            assert_eq!(ended, None, "ended before {text:?}: {:?}", self.read);
        }
    }

    /// Reads once; how the connection ended, if it did.
    pub async fn more(&mut self) -> Option<Ended> {
        let reading = self.stream.read_buf(&mut self.read);
        match tokio::time::timeout(LIMIT, reading)
            .await
            .expect("the server went silent")
        {
            Ok(0) => Some(Ended::Fin),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Some(Ended::Reset),
            Err(error) => panic!("{error}"),
        }
    }
}

fn nothing() -> Answer {
    let ended = Ended::Fin;
    Answer {
        status: 0,
        headers: Vec::new(),
        body: Vec::new(),
        chunks: Vec::new(),
        ended,
    }
}

/// Reads an answer, whole or not, and how many bytes it took. `ended` is `Fin` while it is not
/// whole.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    });
    let mut answer = nothing();
    answer.status = status;
    answer.headers = headers.collect();
    let mut rest = &bytes[head_end..];
    if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().unwrap();
        answer.body = rest[..length.min(rest.len())].to_vec();
        if rest.len() >= length {
            answer.ended = Ended::Whole;
        }
        return Some((answer, head_end + length));
    }
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if rest.len() < size + 2 {
            answer.body.extend_from_slice(&rest[..size.min(rest.len())]);
            break;
        }
        if size == 0 {
            answer.ended = Ended::Whole;
            rest = &rest[2..];
            break;
        }
        answer.body.extend_from_slice(&rest[..size]);
        answer.chunks.push(size);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
    }
    Some((answer, bytes.len() - rest.len()))
}

/// A request for an answer, with one user message.
pub fn body(wire: Wire, stream: bool) -> Value {
    with_user(wire, stream, "hello")
}

/// A request whose user says `text`.
pub fn with_user(wire: Wire, stream: bool, text: &str) -> Value {
    let user = json!([{"role": "user", "content": text}]);
    match wire {
        Wire::OpenaiChat => json!({
            "model": "m-1", "stream": stream, "messages": user,
            "stream_options": {"include_usage": true},
        }),
        Wire::OpenaiResponses => json!({"model": "m-1", "stream": stream, "input": user}),
        Wire::Anthropic => {
            json!({"model": "m-1", "stream": stream, "max_tokens": 100, "messages": user})
        }
        Wire::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        Wire::Ollama => json!({"model": "m-1", "stream": stream, "messages": user}),
    }
}

/// A request whose history ends with the result of a call.
pub fn with_result(wire: Wire, stream: bool, result: &str) -> Value {
    let mut body = with_user(wire, stream, "hello");
    let arguments = json!({"a": 1});
    let more = match wire {
        Wire::OpenaiChat | Wire::Ollama => {
            let text = Value::from(arguments.to_string());
            let arguments = if wire == Wire::Ollama {
                arguments
            } else {
                text
            };
            let function = json!({"name": "look", "arguments": arguments});
            let call = json!({"id": "c1", "type": "function", "function": function});
            json!([
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "tool_name": "look", "content": result},
            ])
        }
        Wire::OpenaiResponses => json!([
            {"type": "function_call", "call_id": "c1", "name": "look",
             "arguments": arguments.to_string()},
            {"type": "function_call_output", "call_id": "c1", "output": result},
        ]),
        Wire::Anthropic => json!([
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "look", "input": arguments}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": result}]},
        ]),
        Wire::Gemini => json!([
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": arguments}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "look", "response": {"result": result}}}]},
        ]),
    };
    let list = history_field(wire);
    body[list]
        .as_array_mut()
        .unwrap()
        .extend(more.as_array().unwrap().iter().cloned());
    body
}

/// The field that holds the history.
pub fn history_field(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenaiResponses => "input",
        Wire::Gemini => "contents",
        _ => "messages",
    }
}

/// A server that always gives this reply.
pub async fn playing(reply: Reply) -> Server {
    Server::with(Script::always(reply)).await
}

/// Sends a body on a new connection and reads the answer.
pub async fn ask_body(server: &Server, wire: Wire, stream: bool, body: &Value) -> Answer {
    let mut client = Client::connect(server).await;
    let bytes = body.to_string();
    client
        .send("POST", &wire.path("m-1", stream), "", bytes.as_bytes())
        .await;
    client.answer().await
}

/// Asks for an answer on a new connection.
pub async fn ask(server: &Server, wire: Wire, stream: bool) -> Answer {
    ask_body(server, wire, stream, &body(wire, stream)).await
}

/// Any request on a new connection.
pub async fn request(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let mut client = Client::connect(server).await;
    client.send(method, path, "", body.as_bytes()).await;
    client.answer().await
}
