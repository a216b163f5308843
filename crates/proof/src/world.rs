//! Everything around a server that outlives it: its folder, its database, the model, and the service that its tools
//! act on.

use crate::database::Scratch;
use crate::http::KEY;
use crate::ledger::Ledger;
use crate::program::{Program, Start};
use crate::proxy::Proxy;
use scripted::{Reply, Request, Script, Server as Model, reply};
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

/// The gate that model answers to `hold …` stop at.
pub const GATE: &str = "held";

const AGENT: &str = "---\nname: Worker\ndescription: Does as it is told.\n\
tools: [record, recorded, plain, keyed, gated, lookup, long]\n---\nYou do as you are told.\n";

/// Names the seeded fault that is switched on, if one is.
const SEEDED: &str = "RUNYARD_SEEDED_FAULT";

/// Leases short enough for a sweep of many starts. A server that shares nothing does not need them.
pub const QUICK: [(&str, &str); 4] = [
    ("RUNYARD_LIMIT_LEASE_MS", "2000"),
    ("RUNYARD_LIMIT_HEARTBEAT_MS", "400"),
    ("RUNYARD_LIMIT_SWEEP_MS", "200"),
    ("RUNYARD_LIMIT_DRAIN_S", "1"),
];

/// Where worlds are made, and of what.
#[derive(Debug, Clone)]
pub struct Site {
    /// The server's program.
    pub program: OsString,
    /// Folders are made in this one.
    pub folder: PathBuf,
    /// A PostgreSQL server in which databases are made; without one, stores are files.
    pub postgres: Option<String>,
}

pub struct World {
    pub model: Model,
    pub ledger: Ledger,
    /// What stands between all servers and the model.
    pub model_edge: Proxy,
    /// What stands between all servers and the service.
    pub ledger_edge: Proxy,
    /// The model and the service cannot always be reached, so turns and calls may fail for that.
    pub edges_fail: AtomicBool,
    program: OsString,
    home: TempDir,
    scratch: Option<Scratch>,
    settings: Vec<(&'static str, String)>,
}

impl World {
    pub async fn new(site: &Site) -> Self {
        Self::with(site, Script::answering(answer)).await
    }

    /// With another mind of the model.
    pub async fn with(site: &Site, script: Script) -> Self {
        let home = tempfile::tempdir_in(&site.folder).expect("the folder can be written");
        let ledger = Ledger::start().await;
        let model = Model::with(script).await;
        let scratch = match &site.postgres {
            None => None,
            Some(server) => Some(Scratch::create(server).await),
        };
        let world = Self {
            model_edge: Proxy::before(model.address()).await,
            ledger_edge: Proxy::before(ledger.address).await,
            edges_fail: AtomicBool::new(false),
            model,
            ledger,
            program: site.program.clone(),
            home,
            scratch,
            settings: Vec::new(),
        };
        world.furnish().await;
        world
    }

    /// With other limits than the defaults.
    pub fn set(mut self, settings: &[(&'static str, &str)]) -> Self {
        let owned = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        self.settings.extend(owned);
        self
    }

    pub fn path(&self) -> &Path {
        self.home.path()
    }

    pub fn data(&self) -> PathBuf {
        // In a folder of its own, so that nobody else makes its name last.
        self.path().join("var").join("data")
    }

    async fn furnish(&self) {
        let agents = self.path().join("agents");
        std::fs::create_dir_all(&agents).expect("the folder is ours");
        std::fs::create_dir_all(self.data()).expect("the folder is ours");
        std::fs::write(agents.join("worker.md"), AGENT).expect("the folder is ours");
        let (url, insert, select) = match &self.scratch {
            None => {
                let file = self.path().join("tools.db");
                tools::fleet::install(&file, Uuid::now_v7()).expect("the folder is ours");
                let insert = "INSERT INTO deployments (model_id, device_group, environment, channel, percent, status, created_at) \
                              VALUES ('qwen2.5-7b', (SELECT min(name) FROM device_groups), 'staging', 'beta', 1, 'active', :tag)";
                let select = "SELECT count(*) AS rows FROM deployments WHERE created_at = :tag";
                (file.display().to_string(), insert, select)
            }
            Some(scratch) => {
                scratch
                    .execute("CREATE TABLE effects (tag text NOT NULL)")
                    .await;
                let insert = "INSERT INTO effects (tag) VALUES (:tag)";
                (
                    scratch.url(),
                    insert,
                    "SELECT count(*) AS rows FROM effects WHERE tag = :tag",
                )
            }
        };
        let config = config(
            &format!("http://{}", self.model_edge.address),
            &self.ledger_edge.address.to_string(),
            &url,
            insert,
            select,
        );
        std::fs::write(self.path().join("runyard.toml"), config).expect("the folder is ours");
    }

    /// Writes more into a file of its surroundings.
    pub fn add(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, before + text).expect("the folder is ours");
    }

    /// Where the store is, of a world on PostgreSQL.
    pub fn database_url(&self) -> Option<String> {
        self.scratch.as_ref().map(Scratch::url)
    }

    /// The program with this world as its surroundings.
    pub fn command(&self) -> Command {
        self.command_of(&self.program)
    }

    /// The same with another build of the program.
    pub fn command_of(&self, program: &OsStr) -> Command {
        self.surround(Command::new(program))
    }

    /// A shell command that ends in the program, which is `$0` in it.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(&self.program);
        self.surround(command)
    }

    /// Ends the program that strace watches, and strace with it.
    pub async fn end_traced(&self, strace: &Program) {
        self.signal_traced(strace.pid(), "-KILL").await;
    }

    /// Sends a signal to the program that this strace watches.
    pub async fn signal_traced(&self, strace: u32, signal: &str) {
        let pid = strace.to_string();
        let sent = Command::new("pkill")
            .args([signal, "-P", &pid])
            .status()
            .await;
        sent.expect("there is a pkill command");
    }

    /// The program under strace, which kills or fails it at a system call.
    pub fn traced(&self, call: &str, injected: &str) -> Command {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:{injected}"))
            .arg(&self.program);
        self.surround(command)
    }

    /// A command of the program beside its server.
    pub fn beside(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        self.place(command)
    }

    /// The program under strace, which writes down every one of these calls.
    #[cfg(target_os = "linux")]
    pub fn recorded(&self, calls: &str, to: &Path) -> Command {
        let mut command = Command::new("strace");
        command
            .args([
                "-f",
                "-qq",
                "--seccomp-bpf",
                "-yy",
                "-xx",
                "-s",
                "1048576",
                "-o",
            ])
            .arg(to)
            .args(["-e", &format!("trace={calls}"), "-e", "signal=none"])
            .arg(&self.program);
        self.surround(command)
    }

    fn surround(&self, mut command: Command) -> Command {
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        self.place(command)
    }

    fn place(&self, mut command: Command) -> Command {
        command
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("RUNYARD_DATA", self.data())
            .env("RUNYARD_OWNER_KEY", KEY)
            .env("RUNYARD_DETECT", "false")
            .env("RUNYARD_LOG", "warn");
        if let Some(fault) = std::env::var_os(SEEDED) {
            command.env(SEEDED, fault);
        }
        if let Some(scratch) = &self.scratch {
            command.env("RUNYARD_DATABASE_URL", scratch.url());
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub async fn start(&self) -> Program {
        Program::start(self.command()).await.ready()
    }

    /// Starts it so that it dies the `hits`th time that it passes the crash point.
    pub async fn start_doomed(&self, point: &str, hits: u32) -> Start {
        let mut command = self.command();
        command.env("FAILPOINTS", format!("{point}={}*off->return", hits - 1));
        Program::start(command).await
    }

    /// Changes what the configuration says.
    pub fn lie(&self, truth: &str, lie: &str) {
        let path = self.path().join("runyard.toml");
        let text = std::fs::read_to_string(&path).expect("it was written");
        assert!(text.contains(truth), "{text}");
        std::fs::write(path, text.replace(truth, lie)).expect("the folder is ours");
    }

    /// Whoever was held is held no more: the model's answers and the service's.
    pub fn open(&self) {
        self.model.open_gate(GATE);
        self.ledger.open();
    }
}

fn config(model: &str, ledger: &str, database: &str, insert: &str, select: &str) -> String {
    let schema = "input_schema = { type = \"object\", properties = { tag = { type = \"string\" } }, required = [\"tag\"] }";
    let http = |name: &str, method: &str, more: &str| {
        format!(
            "[tools.{name}]\nkind = \"http\"\nmethod = \"{method}\"\nurl = \"http://{ledger}/{name}/{{tag}}\"\n{more}\n{schema}\n\n"
        )
    };
    let sql = |name: &str, sql: &str, more: &str| {
        format!(
            "[tools.{name}]\nkind = \"sql\"\ndatabase = \"world\"\nsql = \"{sql}\"\n{more}\n{schema}\n\n"
        )
    };
    [
        format!(
            "[[lanes]]\nname = \"scripted\"\nkind = \"local\"\nwire = \"openai-chat\"\nbase_url = \"{model}/v1\"\n\
             models = [\"scripted\"]\n\n[databases.world]\nurl = \"{database}\"\nread_only = false\n\n\
             [egress]\nallow_private = [\"{ledger}\"]\n\n"
        ),
        sql("record", insert, "writes = true\neffect = \"keyed\""),
        sql("recorded", select, "returns = \"row\"\neffect = \"idempotent\""),
        http("plain", "POST", ""),
        http("keyed", "POST", "effect = \"keyed\""),
        http("gated", "POST", "policy = \"ask\""),
        http("lookup", "GET", "effect = \"idempotent\""),
        http("long", "GET", "effect = \"idempotent\""),
    ]
    .concat()
}

/// The model's mind: `say X` is said, `talk X` takes a while, `hold X` is begun and then held, `TOOL X` calls the tool with `X` as its tag.
fn answer(request: &Request) -> Option<Reply> {
    if request.ends_with_tool_result() {
        let said = reply()
            .text_tokens(["it ", "is ", "done ", "now"])
            .between_ms(2);
        return Some(said.build());
    }
    let told = request.last_user()?;
    let (verb, tag) = told.split_once(' ')?;
    Some(match verb {
        "say" => reply()
            .text_tokens(["I ", "say ", tag, " and ", "no ", "more"])
            .between_ms(2)
            .build(),
        "talk" => reply()
            .text_tokens(["I ", "talk ", "and ", "talk ", tag, " and ", "talk"])
            .between_ms(10)
            .build(),
        "hold" => reply()
            .text_tokens(["wait ", "for ", tag, " "])
            .hold(GATE)
            .text("at last")
            .build(),
        tool => Reply::tool_call(tool, &json!({ "tag": tag }).to_string()),
    })
}
