//! Messages as lines (MCP 2025-11-25, stdio): read within a limit, written one after the other. A line that is too long
//! becomes an error of the request that it answers, so that one huge answer harms no other call.

use rmcp::RoleClient;
use rmcp::model::{ErrorCode, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::service::TxJsonRpcMessage;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Mutex;

/// Of our own making: the server answered, but with more than is read.
pub(super) const TOO_LONG: ErrorCode = ErrorCode(-32_790);

/// Lines in a row that are no message, before the other side counts as broken.
const GARBAGE_MAX: u32 = 1_000;

pub(super) struct Lines<R, W> {
    read: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
    /// The rest of a line that is too long.
    skipped: Option<Skim>,
    garbage: u32,
    write: Arc<Mutex<Option<W>>>,
}

impl<R, W> Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    pub(super) fn new(read: R, write: W, bytes_max: usize) -> Self {
        Self {
            read: BufReader::with_capacity(64 << 10, read),
            line: Vec::new(),
            bytes_max,
            skipped: None,
            garbage: 0,
            write: Arc::new(Mutex::new(Some(write))),
        }
    }

    pub(super) fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static + use<R, W> {
        let write = Arc::clone(&self.write);
        let line = serde_json::to_vec(&message).map(|mut line| {
            line.push(b'\n');
            line
        });
        async move {
            let line = line?;
            let mut write = write.lock().await;
            let Some(open) = write.as_mut() else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            let written = async {
                open.write_all(&line).await?;
                open.flush().await
            };
            let written = written.await;
            if written.is_err() {
                // Half a line may be there; nothing that followed it would be understood.
                *write = None;
            }
            written
        }
    }

    /// The next message; `None` when there will be no more. Dropping it loses nothing.
    pub(super) async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let (bytes, is_line) = {
                let available = self.read.fill_buf().await.ok()?;
                if available.is_empty() {
                    return None;
                }
                let newline = available.iter().position(|byte| *byte == b'\n');
                let bytes = newline.map_or(available.len(), |at| at + 1);
                let taken = &available[..bytes];
                match &mut self.skipped {
                    Some(skim) => skim.read(taken),
                    None if self.line.len() + bytes > self.bytes_max + 1 => {
                        let mut skim = Skim::default();
                        skim.read(&self.line);
                        skim.read(taken);
                        self.line = Vec::new();
                        self.skipped = Some(skim);
                    }
                    None => self.line.extend_from_slice(taken),
                }
                (bytes, newline.is_some())
            };
            self.read.consume(bytes);
            if is_line {
                match self.take() {
                    Taken::Message(message) => return Some(*message),
                    Taken::Nothing => continue,
                    Taken::Broken => return None,
                }
            }
        }
    }

    /// What the line just read amounts to.
    fn take(&mut self) -> Taken {
        if let Some(skim) = self.skipped.take() {
            // Whose answer it is must be known, or somebody would wait for it in vain.
            let Some(id) = skim.id() else {
                return Taken::Broken;
            };
            let bytes = self.bytes_max;
            let told = format!("the answer is longer than {bytes} bytes and was not read");
            let error = ErrorData::new(TOO_LONG, told, None);
            return Taken::Message(Box::new(JsonRpcMessage::error(error, Some(id))));
        }
        let line = self.line.trim_ascii();
        let read = serde_json::from_slice(line);
        let is_blank = line.is_empty();
        self.line.clear();
        self.line.shrink_to(64 << 10);
        match read {
            Ok(message) => {
                self.garbage = 0;
                Taken::Message(Box::new(message))
            }
            Err(_) if is_blank => Taken::Nothing,
            Err(_) => {
                self.garbage += 1;
                if self.garbage > GARBAGE_MAX {
                    return Taken::Broken;
                }
                Taken::Nothing
            }
        }
    }

    pub(super) async fn close(&mut self) {
        self.write.lock().await.take();
    }
}

enum Taken {
    Message(Box<ServerJsonRpcMessage>),
    Nothing,
    Broken,
}

/// Reads a message without keeping it, for the one thing that must be known of it: the id of what it answers.
#[derive(Default)]
struct Skim {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The string at depth 1 being read, or just read.
    key: Vec<u8>,
    /// After `"id":` at depth 1.
    value: Option<Vec<u8>>,
    found: Option<RequestId>,
}

/// Longer than any key or id that matters.
const WORD_MAX: usize = 64;

impl Skim {
    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = rest;
            // Nearly all of a long message is the inside of one text.
            if self.in_string && !self.escaped && self.depth > 1 {
                let end = memchr::memchr2(b'"', b'\\', bytes);
                if !matches!(byte, b'"' | b'\\') {
                    bytes = &bytes[end.unwrap_or(bytes.len())..];
                    continue;
                }
            }
            self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ if self.depth == 1 && self.key.len() < WORD_MAX => self.key.push(byte),
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.key.clear();
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.end_of_value();
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => self.end_of_value(),
            b':' if self.depth == 1 && self.key == b"id" => self.value = Some(Vec::new()),
            digit if self.depth == 1 => {
                if let Some(value) = &mut self.value
                    && value.len() < WORD_MAX
                {
                    value.push(digit);
                }
            }
            _ => {}
        }
    }

    /// Our ids are whole numbers.
    fn end_of_value(&mut self) {
        if self.depth != 1 {
            return;
        }
        if let Some(value) = self.value.take() {
            let text = String::from_utf8_lossy(&value);
            self.found = text.trim().parse().ok().map(RequestId::Number);
        }
    }

    fn id(self) -> Option<RequestId> {
        self.found
    }
}

#[cfg(test)]
mod tests;
