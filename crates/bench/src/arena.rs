//! Sets up what a scenario measures: a model server, a relay, the server itself, each a process on the loopback, with
//! its data in a folder that goes with it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;

use crate::client::Client;
use crate::process::Process;
use crate::turn::Script;

/// The owner's key of the servers that are measured.
const OWNER_KEY: &str = "ry_bench_owner_key_0123456789abcdef0123456789abcdef";
/// How long a process may take until it answers.
const READY_MAX: Duration = Duration::from_secs(30);

const AGENT: &str = "---\nagent_type: bench\nname: Bench\ndescription: Answers in twenty tokens.\nmodel: scripted\nlanes: [scripted]\n";
const PROMPT: &str = "---\nYou are measured.\n";

/// How the model behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// Before the first token.
    pub first_byte_ms: u64,
    pub token_delay_ms: u64,
    pub stamped: bool,
}

/// What the agent's only tool asks for, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    None,
    /// A call is executed at once.
    Auto,
    /// A call waits for a person.
    Ask,
}

/// Where programs and data are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of the release binaries.
    pub programs: PathBuf,
    /// Where data folders are made; it must be on a disk, not in memory.
    pub data: PathBuf,
}

/// Where several servers meet.
#[derive(Debug, Clone, Copy)]
pub struct Meeting<'a> {
    pub database_url: &'a str,
    pub nats: &'a str,
    /// Of the subjects on NATS.
    pub prefix: &'a str,
}

/// The processes of one scenario.
pub struct Arena {
    places: Places,
    folder: TempDir,
    tool: Tool,
    /// Ends with the arena.
    model: Process,
    model_url: String,
    made: usize,
}

/// One server that turns can be asked of.
pub struct Contestant {
    pub name: &'static str,
    pub process: Process,
    pub address: SocketAddr,
    /// From its start to its first readiness.
    pub ready_after: Duration,
}

impl Arena {
    pub async fn new(places: &Places, pace: Pace, tool: Tool) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&places.data).context("cannot make the data folder")?;
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&places.data)
            .context("cannot make a data folder")?;
        let mut command = Command::new(places.programs.join("scripted-model"));
        command.args(["--fast", "--tokens", "20", "--token-delay-ms"]);
        command.arg(pace.token_delay_ms.to_string());
        command.args(["--first-byte-ms", &pace.first_byte_ms.to_string()]);
        if pace.stamped {
            command.arg("--stamp");
        }
        if tool != Tool::None {
            command.args(["--tool", "lookup"]);
        }
        let mut model = Process::start(&mut command, &folder.path().join("model.log"))?;
        let model_url = first_line(&mut model).await.context("the model server")?;
        Ok(Self {
            places: places.clone(),
            folder,
            tool,
            model,
            model_url,
            made: 0,
        })
    }

    /// The disk that the servers write to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the model server answers.
    pub fn model_address(&self) -> anyhow::Result<SocketAddr> {
        let address = self.model_url.strip_prefix("http://");
        let address = address.unwrap_or(&self.model_url).parse();
        address.with_context(|| format!("{} is no address", self.model_url))
    }

    /// Processor time that the model server has used so far, in seconds.
    pub fn model_cpu_s(&self) -> Option<f64> {
        self.model.cpu_s()
    }

    /// What a client asks of any contestant.
    pub fn script(&self, pace: Pace) -> Arc<Script> {
        Arc::new(Script {
            headers: format!("authorization: Bearer {OWNER_KEY}\r\n"),
            agent_type: "bench",
            input: "Say twenty tokens.",
            tokens: 20,
            stamped: pace.stamped,
        })
    }

    pub async fn relay(&mut self) -> anyhow::Result<Contestant> {
        let mut command = Command::new(self.places.programs.join("runyard-bench"));
        let address = free_address()?;
        command.args(["relay", "--listen", &address.to_string()]);
        command.args(["--model", &self.model_url]);
        let log = self.log("relay");
        start("relay", &mut command, &log, address).await
    }

    /// The server with a new SQLite store.
    pub async fn runyard(&mut self) -> anyhow::Result<Contestant> {
        let data = self.new_data()?;
        self.runyard_at(&data).await
    }

    /// The server with a new data folder and this PostgreSQL database.
    pub async fn runyard_on(&mut self, database_url: &str) -> anyhow::Result<Contestant> {
        let data = self.new_data()?;
        let (mut command, address) = self.serve(&data)?;
        command.args(["--database-url", database_url]);
        let log = self.log("runyard");
        start("runyard, PostgreSQL", &mut command, &log, address).await
    }

    /// One of several servers, with a data folder of its own.
    pub async fn replica(&mut self, meeting: Meeting<'_>) -> anyhow::Result<Contestant> {
        let data = self.new_data()?;
        let (mut command, address) = self.serve(&data)?;
        command.args(["--database-url", meeting.database_url]);
        command.args(["--nats", meeting.nats]);
        command.env("RUNYARD_NATS_PREFIX", meeting.prefix);
        let log = self.log("replica");
        start("replica", &mut command, &log, address).await
    }

    /// The server with the SQLite store in `data`.
    pub async fn runyard_at(&mut self, data: &Path) -> anyhow::Result<Contestant> {
        let (mut command, address) = self.serve(data)?;
        let log = self.log("runyard");
        start("runyard", &mut command, &log, address).await
    }

    /// An empty folder for a server's data.
    pub fn new_data(&mut self) -> anyhow::Result<PathBuf> {
        self.made += 1;
        let data = self.folder.path().join(format!("data-{}", self.made));
        std::fs::create_dir(&data).context("cannot make a data folder")?;
        Ok(data)
    }

    fn log(&mut self, name: &str) -> PathBuf {
        self.made += 1;
        self.folder.path().join(format!("{name}-{}.log", self.made))
    }

    fn tool_database(&self) -> PathBuf {
        self.folder.path().join("tool.db")
    }

    /// The command that starts the server, and where it will answer.
    fn serve(&self, data: &Path) -> anyhow::Result<(Command, SocketAddr)> {
        let config = self.folder.path().join("runyard.toml");
        std::fs::write(&config, self.config()).context("cannot write the configuration")?;
        let agents = self.folder.path().join("agents");
        std::fs::create_dir_all(&agents).context("cannot make the agents' folder")?;
        let tools = if self.tool == Tool::None {
            ""
        } else {
            // To SQLite an empty file is an empty database.
            std::fs::write(self.tool_database(), b"").context("cannot write the tool's data")?;
            "tools: [lookup]\n"
        };
        std::fs::write(agents.join("bench.md"), format!("{AGENT}{tools}{PROMPT}"))
            .context("cannot write the agent")?;
        let address = free_address()?;
        let mut command = Command::new(self.places.programs.join("runyard"));
        command
            .args(["serve", "--listen", &address.to_string()])
            .arg("--data")
            .arg(data)
            .arg("--agents")
            .arg(agents)
            .arg("--config")
            .arg(config)
            .env("RUNYARD_OWNER_KEY", OWNER_KEY);
        Ok((command, address))
    }

    fn config(&self) -> String {
        let url = &self.model_url;
        let lane = format!(
            "[[lanes]]\nname = \"scripted\"\nkind = \"local\"\nwire = \"openai-chat\"\nbase_url = \"{url}/v1\"\nmodels = [\"scripted\"]\n"
        );
        let policy = match self.tool {
            Tool::None => return lane,
            Tool::Auto => "auto",
            Tool::Ask => "ask",
        };
        let database = self.tool_database();
        let database = database.display();
        format!(
            "{lane}\n[databases.bench]\nurl = \"sqlite:{database}\"\n\n[tools.lookup]\nkind = \"sql\"\ndescription = \"Looks a number up\"\ndatabase = \"bench\"\nsql = \"select 42 as answer\"\neffect = \"idempotent\"\npolicy = \"{policy}\"\n"
        )
    }
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("the loopback has no free port")?;
    Ok(listener.local_addr()?)
}

async fn first_line(process: &mut Process) -> anyhow::Result<String> {
    let begin = Instant::now();
    loop {
        if let Some(line) = process.first_line() {
            return Ok(line);
        }
        process.check()?;
        anyhow::ensure!(begin.elapsed() < READY_MAX, "it does not say its address");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn start(
    name: &'static str,
    command: &mut Command,
    log: &Path,
    address: SocketAddr,
) -> anyhow::Result<Contestant> {
    let begin = Instant::now();
    let mut process = Process::start(command, log)?;
    let mut client = Client::new(address);
    loop {
        match client.send("GET", "/readyz", "", b"").await {
            Ok(head) if head.status == 200 => break,
            Ok(_) | Err(_) => client.disconnect(),
        }
        process
            .check()
            .with_context(|| format!("cannot start {name}"))?;
        anyhow::ensure!(
            begin.elapsed() < READY_MAX,
            "{name} is not ready in time\n{}",
            process.log_end()
        );
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    Ok(Contestant {
        name,
        process,
        address,
        ready_after: begin.elapsed(),
    })
}
