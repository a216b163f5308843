//! HTTP/1.1 over TCP alone (RFC 9112), for lanes at `http://` addresses: the task that wants an answer reads the socket
//! itself. A general client gives each connection a task of its own, which hands chunks over one by one and wakes the
//! reader for each. It knows no TLS, proxies, redirects or retries.

mod body;
mod head;

use body::Body;
use head::Parsed;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use url::{Host, Url};

/// Bytes of one read. On the stack for the moment of the read: a connection that waits holds no buffer.
const READ_BYTES: usize = 16 << 10;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A body up to this size goes out in one write with its head.
const TOGETHER_MAX: usize = 64 << 10;
/// Connections kept for the next request, and how long.
const IDLE_MAX: usize = 1_024;
const IDLE_FOR: Duration = Duration::from_secs(60);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    NotConnected { timed_out: bool },
    Broken,
}

/// A server, with the connections to it that nobody uses at the moment.
#[derive(Debug)]
pub(crate) struct Plain {
    host: Host,
    port: u16,
    /// As the `Host` field tells it (RFC 9110 §7.2).
    authority: String,
    connect: Duration,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Since when each is idle; the longest first.
    connections: Vec<(Instant, TcpStream)>,
    /// A task drops those that stay idle.
    is_watched: bool,
}

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Body,
    /// `None` once it was given back or has closed.
    connection: Option<TcpStream>,
    /// Read but not decoded.
    left: Vec<u8>,
    /// Whether another request may follow on the connection, and whose it is then.
    keeps: bool,
    home: Arc<Plain>,
}

impl Plain {
    /// `None` where the address needs what this client does not know.
    pub(crate) fn new(base: &Url, connect: Duration) -> Option<Arc<Self>> {
        if base.scheme() != "http" || !base.username().is_empty() || base.password().is_some() {
            return None;
        }
        let host = base.host()?.to_owned();
        let authority = match base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Some(Arc::new(Self {
            host,
            port: base.port_or_known_default()?,
            authority,
            connect,
            idle: Mutex::default(),
        }))
    }

    /// Sends the request and waits for the answer's head. A request is sent once: whether it is worth repeating is not
    /// decided here.
    pub(crate) async fn post(
        self: &Arc<Self>,
        url: &Url,
        fields: &[(&str, &str)],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Lost> {
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => self.connection().await?,
        };
        let mut request = head::request(url, &self.authority, fields, headers, body.len());
        let written = if body.len() <= TOGETHER_MAX {
            request.extend_from_slice(body);
            connection.write_all(&request).await
        } else {
            match connection.write_all(&request).await {
                Ok(()) => connection.write_all(body).await,
                broken => broken,
            }
        };
        // A server may refuse a request before it has read it all; then its answer is there all the same.
        let answered = self.head(connection).await;
        match (written, answered) {
            (Ok(()), answered) | (Err(_), answered @ Ok(_)) => answered,
            (Err(_), Err(_)) => Err(Lost::Broken),
        }
    }

    async fn head(self: &Arc<Self>, mut connection: TcpStream) -> Result<Response, Lost> {
        let mut input = Vec::new();
        loop {
            if read(&mut connection, &mut input).await? == 0 {
                return Err(Lost::Broken);
            }
            loop {
                match head::parse(&input)? {
                    Parsed::Partial if input.len() > HEAD_BYTES_MAX => return Err(Lost::Broken),
                    Parsed::Partial => break,
                    Parsed::Interim(length) => drop(input.drain(..length)),
                    Parsed::Final(length, head) => {
                        input.drain(..length);
                        return Ok(Response {
                            status: head.status,
                            headers: head.headers,
                            body: head.body,
                            connection: Some(connection),
                            left: input,
                            keeps: head.keeps,
                            home: self.clone(),
                        });
                    }
                }
            }
        }
    }

    /// A connection that was used before, if one is still good.
    fn take(&self) -> Option<TcpStream> {
        let mut idle = self.idle();
        while let Some((since, connection)) = idle.connections.pop() {
            if since.elapsed() < IDLE_FOR && is_quiet(&connection) {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(self: &Arc<Self>, connection: TcpStream) {
        let mut idle = self.idle();
        if idle.connections.len() >= IDLE_MAX {
            return;
        }
        idle.connections.push((Instant::now(), connection));
        if !idle.is_watched {
            idle.is_watched = true;
            tokio::spawn(drop_idle(Arc::downgrade(self)));
        }
    }

    async fn connection(&self) -> Result<TcpStream, Lost> {
        match timeout(self.connect, self.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Lost::NotConnected {
                timed_out: error.kind() == io::ErrorKind::TimedOut,
            }),
            Err(_) => Err(Lost::NotConnected { timed_out: true }),
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = match &self.host {
            Host::Domain(name) => lookup_host((name.as_str(), self.port)).await?.collect(),
            Host::Ipv4(address) => vec![(*address, self.port).into()],
            Host::Ipv6(address) => vec![(*address, self.port).into()],
        };
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        // An address that does not answer must not use up the time of the next.
        let share = self.connect / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(connection)) => {
                    connection.set_nodelay(true)?;
                    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
                    SockRef::from(&connection).set_tcp_keepalive(&keepalive)?;
                    return Ok(connection);
                }
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neither closed by the other side nor with bytes that nobody asked for.
fn is_quiet(connection: &TcpStream) -> bool {
    let read = connection.try_read(&mut [0; 1]);
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Drops connections once they were idle for long enough; ends when there is none.
async fn drop_idle(server: Weak<Plain>) {
    loop {
        tokio::time::sleep(IDLE_FOR).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        let mut idle = server.idle();
        idle.connections
            .retain(|(since, _)| since.elapsed() < IDLE_FOR);
        if idle.connections.is_empty() {
            idle.connections.shrink_to_fit();
            idle.is_watched = false;
            return;
        }
    }
}

impl Response {
    /// Appends what comes next of the body, all that is there, and waits for it if need be. False at the body's end.
    pub(crate) async fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, Lost> {
        let before = out.len();
        loop {
            let used = self.body.decode(&self.left, out)?;
            self.left.drain(..used);
            if self.body.is_over() {
                self.let_go();
                return Ok(out.len() > before);
            }
            if out.len() > before {
                return Ok(true);
            }
            let Some(connection) = &mut self.connection else {
                return Ok(false);
            };
            if read(connection, &mut self.left).await? == 0 {
                self.connection = None;
                return match self.body {
                    Body::UntilClose => Ok(false),
                    Body::Length(_) | Body::Chunked(_) => Err(Lost::Broken),
                };
            }
        }
    }

    /// The answer is whole: its connection serves the next request, unless something else was sent behind it.
    fn let_go(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.keeps
            && self.left.is_empty()
        {
            self.home.give_back(connection);
        }
    }
}

/// Appends one read's bytes; 0 at the end of the stream.
async fn read(connection: &mut TcpStream, out: &mut Vec<u8>) -> Result<usize, Lost> {
    let read = poll_fn(|cx| {
        let mut bytes = [MaybeUninit::<u8>::uninit(); READ_BYTES];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        Pin::new(&mut *connection)
            .poll_read(cx, &mut bytes)
            .map_ok(|()| {
                out.extend_from_slice(bytes.filled());
                bytes.filled().len()
            })
    });
    read.await.map_err(|_| Lost::Broken)
}
