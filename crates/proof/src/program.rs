//! The program as a process: started, killed, waited for.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than a start takes on a busy machine.
const START: Duration = Duration::from_secs(60);
/// What a process says as it ends is read in this time.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The signal of `abort`, by which a crash point ends the process.
const ABORTED: i32 = 6;

/// What the process wrote to both outputs.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

/// A server that said that it is ready.
pub struct Program {
    pub address: SocketAddr,
    child: Child,
    said: Said,
}

pub enum Start {
    Ready(Box<Program>),
    /// It ended before it was ready; how, and what it said.
    Ended(ExitStatus, String),
}

impl Start {
    pub fn ready(self) -> Program {
        match self {
            Self::Ready(program) => *program,
            Self::Ended(status, said) => panic!("the server ended at its start, {status}:\n{said}"),
        }
    }
}

/// True if a crash point did it.
pub fn is_crash(status: ExitStatus) -> bool {
    status.signal() == Some(ABORTED)
}

impl Program {
    /// Starts `command` and waits until it is ready or has ended.
    pub async fn start(mut command: Command) -> Start {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started");
        let said = Said::default();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let errors = said.keep(child.stderr.take().expect("a pipe"));
        let ready = async {
            while let Ok(Some(line)) = out.next_line().await {
                said.push(line.clone());
                if line.contains("is ready at ") {
                    let url = line.rsplit("http://").next().unwrap_or_default();
                    return url.trim().parse::<SocketAddr>().ok();
                }
            }
            None
        };
        let ready = timeout(START, ready).await;
        let ready =
            ready.unwrap_or_else(|_| panic!("the server hangs at its start:\n{}", said.text()));
        match ready {
            Some(address) => {
                said.keep(out.into_inner().into_inner());
                Start::Ready(Box::new(Self {
                    address,
                    child,
                    said,
                }))
            }
            None => {
                let status = child.wait().await.expect("it can be waited for");
                // Its last words may still be in the pipe, which a child of its own may keep open.
                let _ = timeout(LAST_WORDS, errors).await;
                Start::Ended(status, said.text())
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// `kill -9`, and the end.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Asks it to stop in good order.
    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Stops it where it is.
    pub async fn stop(&self) {
        self.signal("-STOP").await;
    }

    /// Lets a stopped one go on.
    pub async fn go_on(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(
            sent.expect("there is a kill command").success(),
            "no process {pid}"
        );
    }

    /// Waits for its end; `None` if it lives on.
    pub async fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let ended = timeout(limit, self.child.wait()).await.ok()?;
        Some(ended.expect("it can be waited for"))
    }

    pub fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Memory in use, in kilobytes.
    pub fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
        number.expect("the system tells a process's memory")
    }

    pub fn said(&self) -> String {
        self.said.text()
    }
}

impl Said {
    fn push(&self, line: String) {
        self.0.lock().expect("no holder panics").push(line);
    }

    fn text(&self) -> String {
        self.0.lock().expect("no holder panics").join("\n")
    }

    fn keep(&self, output: impl AsyncRead + Send + Unpin + 'static) -> JoinHandle<()> {
        let said = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                said.push(line);
            }
        })
    }
}
