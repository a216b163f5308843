//! Requests over bare sockets, so that a test sees every byte that the server sends and decides itself when to stop
//! reading. It knows HTTP/1.1 framing and nothing of the API.

use crate::frames::{Frame, Frames};
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The owner's key of every server of these tests.
pub const KEY: &str = "crash-tests-owner-key-0123456789";

/// Longer than any answer takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
    key: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// An answer that is being read.
pub struct Live {
    socket: TcpStream,
    pub status: u16,
    head: String,
    chunks: Chunks,
    frames: Frames,
    ended: bool,
}

/// Undoes the chunked encoding, byte by byte as it comes.
#[derive(Default)]
pub struct Chunks {
    raw: Vec<u8>,
    chunked: bool,
    /// What is left of a body whose length is known.
    left: Option<usize>,
    pub over: bool,
}

impl Ask {
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path.into())
    }

    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        let mut ask = Self::new("POST", path.into());
        ask.body = Some(body.to_string());
        ask
    }

    fn new(method: &'static str, path: String) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: None,
            key: KEY.to_owned(),
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With another key than the owner's.
    pub fn by(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// The whole answer.
    pub async fn send(self, address: SocketAddr) -> io::Result<Answer> {
        let what = format!("{} {}", self.method, self.path);
        let whole = async {
            let mut live = self.open(address).await?;
            let mut body = Vec::new();
            while let Some(bytes) = live.bytes().await? {
                body.extend_from_slice(&bytes);
            }
            Ok(Answer {
                status: live.status,
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            })
        };
        match timeout(PATIENCE, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, what)),
        }
    }

    /// Sends it and reads the answer's head.
    pub async fn open(self, address: SocketAddr) -> io::Result<Live> {
        self.open_on(TcpStream::connect(address).await?).await
    }

    pub async fn open_on(self, mut socket: TcpStream) -> io::Result<Live> {
        socket.write_all(self.text().as_bytes()).await?;
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if socket.read_buf(&mut raw).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let rest = raw.split_off(end);
        let head = String::from_utf8(raw)
            .map_err(io::Error::other)?
            .to_ascii_lowercase();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        Ok(Live {
            socket,
            status: status.ok_or_else(|| io::Error::other("no status line"))?,
            chunks: Chunks::after(&head, rest),
            head,
            frames: Frames::default(),
            ended: false,
        })
    }

    fn text(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\nconnection: close\r\n",
            self.method, self.path, self.key
        );
        if self.body.is_some() {
            text.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n" + body
    }
}

impl Live {
    /// A header's value, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
    }

    /// Some more of the body; `None` at its orderly end.
    pub async fn bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let bytes = self.chunks.take()?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            if self.chunks.over {
                return Ok(None);
            }
            if self.socket.read_buf(&mut self.chunks.raw).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next event; `None` at the stream's orderly end. A frame that is not exactly as it should be is an error.
    pub async fn frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.frames.next().map_err(io::Error::other)? {
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            let more = timeout(PATIENCE, self.bytes()).await;
            match more.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
                Some(bytes) => self.frames.feed(&bytes),
                None => self.ended = true,
            }
        }
    }

    /// Every event up to the orderly end.
    pub async fn all(mut self) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await? {
            frames.push(frame);
        }
        Ok(frames)
    }
}

impl Chunks {
    /// The body behind a head in lower case, of which some is there.
    pub fn after(head: &str, raw: Vec<u8>) -> Self {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        Self {
            raw,
            chunked: head.contains("transfer-encoding: chunked"),
            left: length.and_then(|text| text.parse().ok()),
            over: false,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
    }

    /// What of the body is at hand.
    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        if !self.chunked {
            let bytes = std::mem::take(&mut self.raw);
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(bytes.len());
                self.over = *left == 0;
            }
            return Ok(bytes);
        }
        let mut body = Vec::new();
        while let Some(line) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..line]).map_err(io::Error::other)?;
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let (begin, end) = (line + 2, line + 2 + size);
            if self.raw.len() < end + 2 {
                break;
            }
            body.extend_from_slice(&self.raw[begin..end]);
            self.raw.drain(..end + 2);
            if size == 0 {
                self.over = true;
                break;
            }
        }
        Ok(body)
    }
}
