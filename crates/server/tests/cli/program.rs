//! Starts the program in a home of its own, and reads what it says.

use scripted::Server as Model;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the program may take for anything, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long output may stay open after its process, which only a child of it that lives on can do.
const DRAIN: Duration = Duration::from_secs(10);
/// Between looks whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Names the seeded fault that is switched on, if one is.
const SEEDED: &str = "RUNYARD_SEEDED_FAULT";

/// An agent without any needs.
pub const ECHO: &str = "---\nname: Echo\ndescription: Answers.\n---\nYou answer.\n";

/// A person's home folder with nothing in it.
pub struct Home {
    folder: TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A home whose server has the agent `echo` and one lane to `model`.
    pub fn with_model(model: &Model) -> Self {
        let home = Self::new();
        home.write("agents/echo.md", ECHO);
        home.write("runyard.toml", &lane(&model.url()));
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes a file, and the folders that it is in.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A command of the program that sees this home and nothing else.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runyard"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("RUNYARD_DATA", self.data())
            // Whatever model servers this machine has are not part of a test.
            .env("RUNYARD_DETECT", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(fault) = std::env::var_os(SEEDED) {
            command.env(SEEDED, fault);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments).spawn().unwrap(), arguments)
    }

    /// Runs a command that is told `input`.
    pub fn tell(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        finish(child, arguments)
    }

    /// Runs a command again and again until what it says is `right`.
    pub fn run_until(&self, arguments: &[&str], right: impl Fn(&Said) -> bool) -> Said {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.run(arguments);
            if right(&said) {
                return said;
            }
            assert!(
                Instant::now() < deadline,
                "{arguments:?} did not come to say it in {PATIENCE:?}: {said:?}"
            );
        }
    }

    /// Starts a server on a free port and waits until it is ready.
    pub fn serve(&self, arguments: &[&str]) -> Serving {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        Serving::start(self.command(&all))
    }

    /// The owner's key, as commands on this machine find it.
    pub fn owner_key(&self) -> String {
        fs::read_to_string(self.data().join("owner.key")).unwrap()
    }
}

/// A configuration with one lane.
pub fn lane(url: &str) -> String {
    format!(
        "[[lanes]]\nname = \"scripted\"\nkind = \"local\"\nwire = \"openai-chat\"\nbase_url = \"{url}/v1\"\n\
         models = [\"scripted\"]\nretries = {{ attempts = 1 }}\n"
    )
}

/// Waits for the end of a command, which reads no more. One that hangs is killed, and what it said is told.
pub fn finish(mut child: Child, arguments: &[&str]) -> Said {
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (out, err) = (whole(out), whole(err));
    let ended = ended(&mut child);
    let read = |all: Receiver<String>| {
        all.recv_timeout(DRAIN)
            .unwrap_or_else(|_| panic!("{arguments:?} ended, its output did not"))
    };
    let said = Said {
        code: ended.and_then(|status| status.code()),
        out: read(out),
        err: read(err),
    };
    assert!(
        ended.is_some(),
        "{arguments:?} did not end in {PATIENCE:?}: {said:?}"
    );
    said
}

/// All that a process prints, once.
fn whole(mut source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, all) = channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        source.read_to_string(&mut text).unwrap();
        let _ = sender.send(text);
    });
    all
}

/// How a process ended; `None` if it had to be killed for hanging.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(LOOK);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Lines that a process prints, as they come.
pub struct Lines {
    coming: Receiver<String>,
    pub seen: Vec<String>,
}

impl Lines {
    pub fn of(source: impl Read + Send + 'static) -> Self {
        let (sender, coming) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            coming,
            seen: Vec::new(),
        }
    }

    /// Reads on to a line that holds `text`. `Err` with all that was said if there is none.
    pub fn until(&mut self, text: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.coming.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "no {text:?} came in time:\n{}",
                        self.seen.join("\n")
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!(
                        "the output ended without {text:?}:\n{}",
                        self.seen.join("\n")
                    ));
                }
            }
        }
    }

    /// Everything up to the end, of a process that has ended or is ending.
    pub fn rest(&mut self) -> String {
        let deadline = Instant::now() + DRAIN;
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(line) = self.coming.recv_timeout(left()) {
            self.seen.push(line);
        }
        self.seen.join("\n")
    }
}

/// A process with its output.
pub struct Running {
    pub child: Child,
    pub out: Lines,
    pub err: Lines,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        Self {
            out: Lines::of(child.stdout.take().unwrap()),
            err: Lines::of(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Sends a signal by its short name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success(), "no process {pid}");
    }

    /// Waits for the end, which must come in time.
    pub fn end(mut self) -> Said {
        let ended = ended(&mut self.child);
        let said = Said {
            code: ended.and_then(|status| status.code()),
            out: self.out.rest(),
            err: self.err.rest(),
        };
        assert!(ended.is_some(), "no end in {PATIENCE:?}: {said:?}");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that is ready.
pub struct Serving {
    pub url: String,
    pub process: Running,
}

impl Serving {
    pub fn start(command: Command) -> Self {
        Self::ready(Running::start(command))
    }

    /// Waits until one that was started is ready.
    pub fn ready(mut process: Running) -> Self {
        let ready = process.out.until("is ready at ").unwrap_or_else(|said| {
            panic!("the server did not start: {said}\n{}", process.err.rest())
        });
        let url = ready.rsplit(' ').next().unwrap().to_owned();
        Self { url, process }
    }

    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Waits for a line of the log.
    pub fn log_until(&mut self, text: &str) -> String {
        self.process.err.until(text).unwrap()
    }

    /// Stops it in good order.
    pub fn stop(self) -> Said {
        self.process.signal("TERM");
        self.process.end()
    }

    /// Asks the API; the status and the answer.
    pub async fn get(&self, path: &str, key: &str) -> (u16, Value) {
        self.ask(path, key, None).await
    }

    /// Asks the API with a body, if there is one.
    pub async fn ask(&self, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
        let client = client();
        let url = format!("{}{path}", self.url);
        let request = match body {
            Some(body) => client.post(url).json(&body),
            None => client.get(url),
        };
        let response = request.bearer_auth(key).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// What a stream has after an event, to its end.
    pub async fn stream(&self, path: &str, key: &str, after: &str) -> String {
        let request = client().get(format!("{}{path}", self.url)).bearer_auth(key);
        let response = request.header("last-event-id", after).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }
}

fn client() -> reqwest::Client {
    tls();
    let client = reqwest::Client::builder().timeout(PATIENCE);
    client.build().unwrap()
}

/// The TLS provider, which a client needs even where there is no TLS.
pub fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
