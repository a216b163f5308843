//! A server of the Model Context Protocol that misbehaves on command, over lines and over HTTP: it
//! speaks either era of the protocol by hand, so that it can also speak it wrongly.
//!
//! A program on standard input and output is made of it by [`McpServer::command`], which connects
//! the two; so one test sees what was called whatever the transport.

mod answer;
mod http;
mod lines;
mod oauth;

pub use oauth::{AuthFault, AuthServer};

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

/// A tool, and what becomes of calls to it.
#[derive(Debug, Clone)]
pub struct McpTool {
    pub name: String,
    pub description: String,
    pub input_schema: Value,
    pub annotations: Value,
    pub does: Does,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Answers with its arguments.
    Echo,
    /// Answers that it failed.
    Fail,
    /// Answers when the gate is opened.
    Wait,
    /// Never answers.
    Hang,
    /// Says this much that nobody asked for, then answers.
    Flood(usize),
    /// Says what is no message, then answers; over HTTP the answer itself is no message.
    Garbage,
    /// Answers with a text of so many bytes.
    Huge(usize),
    /// Ends the connection once it has the call.
    Die,
    /// Answers a call that nobody made.
    WrongId,
    /// Answers with a picture.
    Picture,
}

impl McpTool {
    /// A tool that takes one text, `tag`.
    pub fn new(name: &str, does: Does) -> Self {
        Self {
            name: name.to_owned(),
            description: format!("Does {name}."),
            input_schema: json!({
                "type": "object",
                "properties": { "tag": { "type": "string" } },
                "required": ["tag"],
            }),
            annotations: Value::Null,
            does,
        }
    }

    /// With these hints of what it does.
    pub fn annotated(mut self, annotations: Value) -> Self {
        self.annotations = annotations;
        self
    }

    /// With another text for models.
    pub fn described(mut self, description: &str) -> Self {
        self.description = description.to_owned();
        self
    }
}

/// Which form of the protocol it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25, with a handshake.
    Legacy,
    /// 2026-07-28, without.
    Modern,
}

/// A running server. Its tasks end with the runtime.
#[derive(Clone)]
pub struct McpServer {
    shared: Arc<Shared>,
    lines: SocketAddr,
    http: SocketAddr,
}

struct Shared {
    era: Era,
    tools: Mutex<Vec<McpTool>>,
    page: AtomicUsize,
    calls: Mutex<Vec<Value>>,
    headers: Mutex<Vec<String>>,
    cancelled: AtomicUsize,
    connections: AtomicUsize,
    /// Whether held calls may go on, and whether handshakes are answered.
    gate: watch::Sender<bool>,
    /// Whose tokens it wants, over HTTP.
    guard: Mutex<Option<AuthServer>>,
    ready: watch::Sender<bool>,
    /// Told to every open connection.
    notices: broadcast::Sender<Value>,
}

impl McpServer {
    /// Listens at free ports of this machine.
    pub async fn start(era: Era, tools: Vec<McpTool>) -> Self {
        let bind = async || {
            let listener = TcpListener::bind("127.0.0.1:0").await;
            listener.expect("this machine has free ports")
        };
        let (lines, http) = (bind().await, bind().await);
        let shared = Shared::new(era, tools);
        let address = |listener: &TcpListener| listener.local_addr().expect("it listens");
        let server = Self {
            shared: Arc::clone(&shared),
            lines: address(&lines),
            http: address(&http),
        };
        tokio::spawn(lines::serve(lines, Arc::clone(&shared)));
        tokio::spawn(http::serve(http, shared));
        server
    }

    /// Speaks on this process's own standard input and output until they end.
    pub async fn serve_stdio(era: Era, tools: Vec<McpTool>) {
        let shared = Shared::new(era, tools);
        lines::converse_on(tokio::io::stdin(), tokio::io::stdout(), shared).await;
    }

    /// Where it speaks streamable HTTP.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.http)
    }

    /// A command line of a program that is this server on its standard input and output.
    pub fn command(&self) -> Vec<String> {
        let port = self.lines.port();
        // The program is over as soon as the server closes its side.
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&0 >&3 & exec cat <&3");
        ["bash", "-c", &script].map(str::to_owned).to_vec()
    }

    /// Offers other tools from now on, and says so if `told`.
    pub fn offer(&self, tools: Vec<McpTool>, told: bool) {
        *lock(&self.shared.tools) = tools;
        if told {
            let notice = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
            let _ = self.shared.notices.send(notice);
        }
    }

    /// Tells so many tools a page.
    pub fn page(&self, tools: usize) {
        self.shared.page.store(tools, Ordering::SeqCst);
    }

    /// The parameters of every call so far.
    pub fn calls(&self) -> Vec<Value> {
        lock(&self.shared.calls).clone()
    }

    /// How often a tool was called with this tag.
    pub fn count(&self, tool: &str, tag: &str) -> usize {
        let calls = lock(&self.shared.calls);
        let same = |call: &&Value| call["name"] == tool && call["arguments"]["tag"] == tag;
        calls.iter().filter(same).count()
    }

    /// The heads of the HTTP requests so far.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.shared.headers).clone()
    }

    /// How many calls were taken back.
    pub fn cancelled(&self) -> usize {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// How many connections there were on which something was said.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Lets held calls go on, or holds those to come.
    pub fn open(&self, open: bool) {
        self.shared.gate.send_replace(open);
    }

    /// Answers over HTTP only with a token of this authorization server.
    pub fn guard(&self, by: &AuthServer) {
        *lock(&self.shared.guard) = Some(by.clone());
    }

    /// Whether handshakes are answered.
    pub fn ready(&self, ready: bool) {
        self.shared.ready.send_replace(ready);
    }
}

impl Shared {
    fn new(era: Era, tools: Vec<McpTool>) -> Arc<Self> {
        Arc::new(Self {
            era,
            tools: Mutex::new(tools),
            page: AtomicUsize::new(usize::MAX),
            calls: Mutex::default(),
            headers: Mutex::default(),
            cancelled: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            gate: watch::Sender::new(false),
            guard: Mutex::default(),
            ready: watch::Sender::new(true),
            notices: broadcast::Sender::new(16),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
