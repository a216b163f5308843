//! A client for HTTP/1.1 on one kept connection, with as little work per request as the protocol allows. It knows
//! nothing of what is asked.

mod body;

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use body::Body;

/// More headers than either server sends.
const HEADERS_MAX: usize = 64;
/// How much room a read has.
const READ_BYTES: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the server cannot be reached")]
    Connect(#[source] io::Error),
    #[error("the connection failed")]
    Broken(#[source] io::Error),
    #[error("the server closed the connection in mid-answer")]
    Closed,
    #[error("the answer is not HTTP/1.1")]
    Malformed,
}

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub status: u16,
    /// The body, still to be read.
    pub body: Body,
    closes: bool,
}

#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    input: Vec<u8>,
    /// Bytes of `input` that are used up.
    used: usize,
    output: Vec<u8>,
    /// The connection is not used again once this answer is read.
    closes: bool,
}

impl Client {
    /// A client that connects when it is first needed.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            input: Vec::new(),
            used: 0,
            output: Vec::new(),
            closes: false,
        }
    }

    /// Drops the connection, for instance after a failure; the next request makes another.
    pub fn disconnect(&mut self) {
        self.stream = None;
        self.input.clear();
        self.used = 0;
    }

    /// Sends a request and reads the head of its answer. `headers` are whole lines, each ended with CR LF.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Head, ClientError> {
        if self.closes {
            self.disconnect();
        }
        if self.stream.is_none() {
            self.connect().await?;
        }
        self.output.clear();
        let length = body.len().to_string();
        for part in [
            method,
            " ",
            path,
            " HTTP/1.1\r\nhost: localhost\r\n",
            headers,
        ] {
            self.output.extend_from_slice(part.as_bytes());
        }
        if !body.is_empty() {
            let parts = [
                "content-type: application/json\r\ncontent-length: ",
                &length,
                "\r\n",
            ];
            for part in parts {
                self.output.extend_from_slice(part.as_bytes());
            }
        }
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(body);
        let stream = self.stream.as_mut().ok_or(ClientError::Closed)?;
        stream
            .write_all(&self.output)
            .await
            .map_err(ClientError::Broken)?;
        let head = self.read_head().await?;
        self.closes = head.closes;
        Ok(head)
    }

    /// Appends what has come of the body to `out`, waiting for some. False if the body is whole and nothing was left.
    pub async fn read(&mut self, body: &mut Body, out: &mut Vec<u8>) -> Result<bool, ClientError> {
        loop {
            let before = out.len();
            self.used += body
                .decode(&self.input[self.used..], out)
                .map_err(|_| ClientError::Malformed)?;
            if out.len() > before {
                return Ok(true);
            }
            if body.is_over() {
                return Ok(false);
            }
            match self.fill().await {
                Ok(()) => {}
                Err(ClientError::Closed) if *body == Body::UntilClose => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// The whole body.
    pub async fn read_all(&mut self, head: Head) -> Result<Vec<u8>, ClientError> {
        let (mut body, mut out) = (head.body, Vec::new());
        while self.read(&mut body, &mut out).await? {}
        Ok(out)
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        self.disconnect();
        self.closes = false;
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(ClientError::Connect)?;
        stream.set_nodelay(true).map_err(ClientError::Connect)?;
        self.stream = Some(stream);
        Ok(())
    }

    async fn read_head(&mut self) -> Result<Head, ClientError> {
        loop {
            if self.used < self.input.len()
                && let Some((length, head)) = parse_head(&self.input[self.used..])?
            {
                self.used += length;
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Reads more input, at least a byte.
    async fn fill(&mut self) -> Result<(), ClientError> {
        let stream = self.stream.as_mut().ok_or(ClientError::Closed)?;
        self.input.drain(..self.used);
        self.used = 0;
        self.input.reserve(READ_BYTES);
        match stream.read_buf(&mut self.input).await {
            Ok(0) => {
                self.stream = None;
                Err(ClientError::Closed)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(ClientError::Broken(error)),
        }
    }
}

fn parse_head(input: &[u8]) -> Result<Option<(usize, Head)>, ClientError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(input).map_err(|_| ClientError::Malformed)?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let mut head = Head {
        status: response.code.ok_or(ClientError::Malformed)?,
        body: Body::UntilClose,
        closes: false,
    };
    for header in response.headers.iter() {
        let (name, value) = (header.name, header.value);
        if name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(value).map_err(|_| ClientError::Malformed)?;
            let left = text.trim().parse().map_err(|_| ClientError::Malformed)?;
            head.body = Body::Length(left);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Body::chunked();
        } else if name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    head.closes |= head.body == Body::UntilClose;
    Ok(Some((length, head)))
}
