//! The server: accepts connections, plays the script on each, keeps what it was asked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::{AcceptFault, Reply, Request, Script};

mod connection;
mod control;
mod fast;
mod http;
mod play;
mod shared;

use connection::Connection;
use shared::Shared;

/// How long [`Server::wait_for`] waits before it gives up.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A model server on a port of its own. It stops when it is dropped: the port is closed and every
/// connection with it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// A server in the making.
#[derive(Debug, Clone)]
#[must_use]
pub struct ServerBuilder {
    listen: SocketAddr,
    script: Script,
    fast: bool,
    keep: usize,
}

impl ServerBuilder {
    /// The address to listen at; any free port of the loopback by default.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// What it plays.
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// For load: answers are rendered once, requests are counted but neither parsed nor kept. Only
    /// for scripts of a default reply and at most one rule for requests that end with a tool
    /// result, without faults; other scripts are played as usual.
    pub fn fast(mut self, fast: bool) -> Self {
        self.fast = fast;
        self
    }

    /// How many requests are kept; older ones are forgotten. 10,000 by default.
    pub fn keep(mut self, requests: usize) -> Self {
        self.keep = requests;
        self
    }

    /// Starts it on the current runtime.
    ///
    /// # Errors
    /// If the address cannot be listened at.
    pub async fn start(self) -> io::Result<Server> {
        let listener = listen(self.listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(self.script, self.fast, self.keep));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Server {
            address,
            shared,
            accepting,
        })
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Deep enough for ten thousand clients that come at once.
    socket.listen(16_384)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that is gone before it is accepted is no failure of the server.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it each small write would wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection::new(stream);
    match shared.accept_fault() {
        AcceptFault::Serve => connection.serve(&shared).await,
        AcceptFault::Stall => connection.stall_unread().await,
        AcceptFault::Close => {}
        AcceptFault::Reset => connection.reset(),
    }
}

impl Server {
    /// A server on a free port of the loopback that answers twenty tokens to everything.
    ///
    /// # Panics
    /// If the loopback has no free port.
    pub async fn start() -> Self {
        Self::with(Script::default()).await
    }

    /// A server on a free port of the loopback that plays this script.
    ///
    /// # Panics
    /// If the loopback has no free port.
    pub async fn with(script: Script) -> Self {
        let started = Self::builder().script(script).start().await;
        started.expect("the loopback has a free port")
    }

    /// A server with more settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            script: Script::default(),
            fast: false,
            keep: 10_000,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL without a path and without a slash at the end: `http://127.0.0.1:PORT`. Clients
    /// of OpenAI's and Anthropic's wires want `/v1` after it, Gemini's `/v1beta`, Ollama's nothing.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Plays another script from now on; the answers that are under way go on.
    pub fn play(&self, script: Script) {
        self.shared.play(script);
    }

    /// Adds a reply to the end of the script's queue.
    pub fn push(&self, reply: Reply) {
        self.shared.push(reply);
    }

    /// Every request that is kept, in order, lists and unknown paths too.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests()
    }

    /// The requests for an answer, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| request.call.is_some())
            .collect()
    }

    /// How many requests for an answer came so far, those of the fast mode too.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shared.count()
    }

    /// Forgets the requests that are kept.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// Opens a gate for good: every answer that holds there goes on, and no later one stops there.
    pub fn open_gate(&self, name: &str) {
        self.shared.open_gate(name);
    }

    /// Waits until the requests that are kept satisfy `wanted`; looks again whenever a request
    /// comes or an answer ends. Returns them.
    ///
    /// # Panics
    /// After 30 seconds, with what there is.
    pub async fn wait_for(&self, wanted: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let mut changes = self.shared.changes();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                let requests = self.requests();
                if wanted(&requests) || changes.changed().await.is_err() {
                    return requests;
                }
            }
        };
        match tokio::time::timeout(WAIT_MAX, waiting).await {
            Ok(requests) => requests,
            Err(_) => panic!(
                "waited {WAIT_MAX:?} in vain; there is {:#?}",
                self.requests()
            ),
        }
    }

    /// Waits until at least `count` requests for an answer came.
    ///
    /// # Panics
    /// After 30 seconds.
    pub async fn wait_calls(&self, count: usize) -> Vec<Request> {
        let calls = |all: &[Request]| all.iter().filter(|one| one.call.is_some()).count();
        self.wait_for(|requests| calls(requests) >= count).await
    }

    /// Stops it and returns when the port is closed and every connection with it.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // The only error is the cancellation that was just asked for.
        let _ = (&mut self.accepting).await;
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        // The accept loop has no end of its own.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
