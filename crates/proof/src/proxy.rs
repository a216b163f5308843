//! A connection that fails: between a server and what it depends on stands this, which resets, stalls or swallows what
//! should pass.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Open connections are reset, and new ones as soon as they are made.
    Reset,
    /// Nothing passes any more; nobody is told.
    Stall,
    /// What is asked arrives, and no answer comes back: a commit is made whose success is never heard of.
    Mute,
    /// What comes back arrives, and nothing is asked any more: news is heard, and nobody is answered.
    Deaf,
    /// A few bytes of the next answer pass, then the connection ends.
    Truncate,
}

pub const FAULTS: [Fault; 5] = [
    Fault::Reset,
    Fault::Stall,
    Fault::Mute,
    Fault::Deaf,
    Fault::Truncate,
];

/// Bytes of an answer that pass before it is cut.
const CUT_AT: usize = 7;

pub struct Proxy {
    pub address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    fault: Arc<watch::Sender<Fault>>,
}

impl Proxy {
    /// Passes everything on to `target` until told otherwise. Its tasks end with the runtime.
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let fault = Arc::new(watch::Sender::new(Fault::None));
        let target = Arc::new(Mutex::new(target));
        let (told, to) = (Arc::clone(&fault), Arc::clone(&target));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let faults = told.subscribe();
                let to = *to.lock().expect("no holder of this lock panics");
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(to).await {
                        pass(client, server, faults).await;
                    }
                });
            }
        });
        Self {
            address,
            target,
            fault,
        }
    }

    /// New connections lead elsewhere from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().expect("no holder of this lock panics") = target;
    }

    /// Fails like this for a while.
    pub async fn fail(&self, fault: Fault, time: Duration) {
        self.turn(fault);
        tokio::time::sleep(time).await;
        self.turn(Fault::None);
    }

    /// Fails like this from now on.
    pub fn turn(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn pass(client: TcpStream, server: TcpStream, mut faults: watch::Receiver<Fault>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // What is dropped in haste is reset, not closed.
    let _ = (client.set_zero_linger(), server.set_zero_linger());
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let there = carry(from_client, to_server, faults.clone(), false);
    let back = carry(from_server, to_client, faults.clone(), true);
    let reset = async {
        let _ = faults.wait_for(|fault| *fault == Fault::Reset).await;
    };
    // A connection that stood still is of no use afterwards: bytes of it are missing.
    tokio::select! {
        () = async { tokio::join!(there, back); } => {}
        () = reset => {}
    }
}

/// Until one side ends or the fault is one that ends it.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    answers: bool,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else {
            let _ = to.shutdown().await;
            return;
        };
        let fault = *faults.borrow_and_update();
        let passing = match fault {
            Fault::None | Fault::Reset => &bytes[..read],
            Fault::Truncate if answers => &bytes[..read.min(CUT_AT)],
            Fault::Truncate => &bytes[..read],
            Fault::Mute if !answers => &bytes[..read],
            Fault::Deaf if answers => &bytes[..read],
            Fault::Stall | Fault::Mute | Fault::Deaf => {
                // Held up, and lost when it is over: whoever waited has given up by then.
                let _ = faults.wait_for(|fault| *fault == Fault::None).await;
                return;
            }
        };
        if to.write_all(passing).await.is_err() || (fault == Fault::Truncate && answers) {
            return;
        }
    }
}
