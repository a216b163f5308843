//! A private server process and the temporary folder it lives in; both go when dropped.

use crate::{child, places, report};
use anyhow::{Context, bail};
use std::env;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// A temporary folder of this process.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder; other users may enter it, as the servers may run as one.
    pub fn create() -> anyhow::Result<Self> {
        let path = env::temp_dir().join(format!("runyard-services-{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            report::line(format_args!("cannot remove {path}: {error}"));
        }
    }
}

/// A user that a server can run as.
#[derive(Clone, Copy)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// A running server.
pub struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `program` with its output in `<folder>/<name>.log`.
    pub fn start(
        name: &'static str,
        command: &Command,
        user: Option<User>,
        folder: &Folder,
    ) -> anyhow::Result<Self> {
        let log = folder.path().join(format!("{name}.log"));
        let output = File::create(&log).context("cannot make its log")?;
        let mut command = ended_with_parent(command);
        if let Some(User { uid, gid }) = user {
            command.uid(uid).gid(gid);
        }
        // A group of its own: Ctrl-C must end the tests before it ends what they talk to.
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .context("cannot start its program")?;
        Ok(Self { name, child, log })
    }

    /// Waits until `ask` succeeds; fails with the end of the log if the server ends or stays mute.
    pub fn wait(&mut self, ask: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if child::interrupted() {
                bail!("interrupted");
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once: {status}\n{}", self.last_words());
            }
            match ask() {
                Ok(()) => return Ok(()),
                Err(error) if begin.elapsed() > START_PATIENCE => {
                    return Err(error.context(format!("it does not answer\n{}", self.last_words())));
                }
                Err(_) => thread::sleep(POLL),
            }
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // To both servers SIGINT means: do not wait for clients, but end in order.
        child::signal(&self.child.id().to_string(), "INT");
        let begin = Instant::now();
        while begin.elapsed() < STOP_PATIENCE {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(POLL),
                _ => return,
            }
        }
        report::line(format_args!("{} does not end and is killed", self.name));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback interface that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The same command, wrapped so that the kernel interrupts it even if xtask is killed outright,
/// where Linux's `setpriv` is there to ask for that.
fn ended_with_parent(command: &Command) -> Command {
    let mut wrapped = match places::find_program("setpriv") {
        Some(setpriv) if cfg!(target_os = "linux") => {
            let mut wrapped = Command::new(setpriv);
            wrapped
                .args(["--pdeathsig", "INT", "--"])
                .arg(command.get_program());
            wrapped
        }
        _ => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args());
    wrapped
}
