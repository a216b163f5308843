//! A server that is a program of this machine: started with an environment of its own, spoken to over its standard
//! input and output, and ended with everything that it started.

use super::lines::Lines;
use domain::OrgId;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// How long a program has to end once its input is closed.
const GOODBYE: Duration = Duration::from_secs(2);

/// Bytes of one line that a program writes to its standard error.
const REMARK_MAX: u64 = 1_000;

/// What of the server's environment a program may see: nothing that could be a secret.
pub(super) const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "TERM",
    // Where programs on Windows find the system and themselves.
    "SystemRoot",
    "PATHEXT",
];

/// How to start it.
pub(super) struct Program {
    pub command: String,
    pub args: Vec<String>,
    pub env: Vec<(String, SecretString)>,
    pub cwd: PathBuf,
    pub message_bytes_max: usize,
}

/// A program at work.
pub(super) struct Process {
    child: Box<dyn ChildWrapper>,
    lines: Lines<ChildStdout, ChildStdin>,
}

impl Program {
    pub(super) fn start(&self, server: &str, org: Option<&OrgId>) -> io::Result<Process> {
        let mut command = CommandWrap::with_new(&self.command, |command| {
            command
                .args(&self.args)
                .env_clear()
                .envs(
                    self.env
                        .iter()
                        .map(|(name, value)| (name, value.expose_secret())),
                )
                .current_dir(&self.cwd)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        });
        // Launchers such as `npx` start the real server as a child of theirs.
        #[cfg(unix)]
        command.wrap(process_wrap::tokio::ProcessGroup::leader());
        command.wrap(KillOnDrop);
        let mut child = command.spawn()?;
        let pipes = (
            child.stdout().take(),
            child.stdin().take(),
            child.stderr().take(),
        );
        let (Some(stdout), Some(stdin), Some(stderr)) = pipes else {
            return Err(io::Error::other("a pipe to the program is missing"));
        };
        tokio::spawn(remarks(stderr, server.to_owned(), org.cloned()));
        Ok(Process {
            child,
            lines: Lines::new(stdout, stdin, self.message_bytes_max),
        })
    }
}

/// Reads what the program says beside its messages, so that it never waits for a reader.
async fn remarks(stderr: ChildStderr, server: String, org: Option<OrgId>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stderr)
            .take(REMARK_MAX)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let remark = String::from_utf8_lossy(&line);
                let org = org.as_ref().map(OrgId::as_str);
                tracing::debug!(mcp.server = %server, org.id = org, remark = ?remark.trim_end(), "an MCP server said something");
            }
        }
    }
}

impl Transport<RoleClient> for Process {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.lines.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        self.lines.receive().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.lines.close().await;
        if timeout(GOODBYE, self.child.wait()).await.is_ok() {
            return Ok(());
        }
        Box::into_pin(self.child.kill()).await
    }
}
