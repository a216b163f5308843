//! `runyard approvals`: what runs wait for, shown complete, and decided, from a terminal, on a running server.

mod pager;
mod show;
mod watch;

use super::client::{Client, text};
use super::terminal::{Style, note, say};
use super::{Context, Failure, Outcome, Target};
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// List approvals, newest first
    List {
        /// pending, approved, denied, expired, cancelled or all
        #[arg(long, default_value = "pending")]
        status: String,
        /// Only those of this run
        #[arg(long, value_name = "ID")]
        run: Option<String>,
        /// Go on showing what is asked and decided, until Ctrl-C
        #[arg(long, conflicts_with_all = ["status", "run"])]
        watch: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show all of an approval: what is shown is what runs
    Show {
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Let the call run, exactly as `show` shows it
    Approve {
        id: String,
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Run these arguments instead, a JSON object in a file (`-` for standard input)
        #[arg(long, value_name = "FILE")]
        arguments: Option<PathBuf>,
        /// Refuse unless the arguments have this digest, as `show` shows it
        #[arg(long)]
        digest: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Say what became of a call whose answer was lost
    Settle {
        id: String,
        #[arg(value_enum)]
        found: Found,
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// What the call gave, as JSON in a file (`-` for standard input), where it happened
        #[arg(long, value_name = "FILE")]
        result: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Refuse the call; the agent is told the reason and goes on
    Deny {
        id: String,
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        output: Output,
    },
}

/// What became of a call whose answer was lost.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Found {
    /// It took effect
    Happened,
    /// It did not: run it again
    RunAgain,
    /// Nobody can tell: go on without its result
    Left,
    /// End the run
    Stop,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Output {
    /// Print each approval as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub async fn approvals(command: Approvals, context: &Context) -> Outcome {
    match command {
        Approvals::List {
            status,
            run,
            watch,
            output,
        } => {
            let desk = Desk::of(&output, context)?;
            if watch {
                watch::watch(&desk.client, desk.as_json, desk.style).await?;
            } else {
                desk.list(&status, run.as_deref()).await?;
            }
        }
        Approvals::Show { id, output } => {
            let desk = Desk::of(&output, context)?;
            let approval = desk.find(&id).await?;
            desk.show(&approval);
        }
        Approvals::Approve {
            id,
            reason,
            arguments,
            digest,
            output,
        } => {
            let mut body = json!({ "decision": "approve", "reason": reason });
            if let Some(path) = arguments {
                body["arguments"] = read_arguments(&path)?;
            }
            let desk = Desk::of(&output, context)?;
            desk.decide(&id, body, digest).await?;
        }
        Approvals::Settle {
            id,
            found,
            reason,
            result,
            output,
        } => {
            let decision = match found {
                Found::Happened => "happened",
                Found::RunAgain => "run_again",
                Found::Left => "deny",
                Found::Stop => "stop",
            };
            let mut body = json!({ "decision": decision, "reason": reason });
            if let Some(path) = result {
                body["result"] = read_json(&path)?;
            }
            let desk = Desk::of(&output, context)?;
            desk.decide(&id, body, None).await?;
        }
        Approvals::Deny { id, reason, output } => {
            let body = json!({ "decision": "deny", "reason": reason });
            let desk = Desk::of(&output, context)?;
            desk.decide(&id, body, None).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where approvals are read and decided.
struct Desk {
    client: Client,
    as_json: bool,
    style: Style,
}

impl Desk {
    fn of(output: &Output, context: &Context) -> Result<Self, Failure> {
        Ok(Self {
            client: Client::find(&output.target, context)?,
            as_json: output.json,
            style: Style::of(io::stdout().is_terminal()),
        })
    }

    async fn list(&self, status: &str, run: Option<&str>) -> Result<(), Failure> {
        let mut cursor = None;
        let mut any = false;
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            if status != "all" {
                query.append_pair("status", status);
            }
            for (name, value) in [("run_id", run), ("cursor", cursor.as_deref())] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            let page = self
                .client
                .get(&format!("approvals?{}", query.finish()))
                .await?;
            for approval in page["approvals"].as_array().into_iter().flatten() {
                any = true;
                if self.as_json {
                    say(&approval.to_string());
                } else {
                    say(&show::line(approval, self.style));
                }
            }
            cursor = text(&page, "next_cursor");
            if cursor.is_none() {
                break;
            }
        }
        if !any && !self.as_json {
            note("no approvals of this kind");
        }
        Ok(())
    }

    async fn find(&self, id: &str) -> Result<Value, Failure> {
        let id: domain::ApprovalId = id.parse().map_err(|_| {
            Failure::new(
                format!("{id:?} is no approval's id"),
                "`runyard approvals list` shows the ids",
            )
        })?;
        self.client.get(&format!("approvals/{id}")).await
    }

    fn show(&self, approval: &Value) {
        if self.as_json {
            say(&approval.to_string());
        } else {
            pager::show(&show::whole(approval, self.style));
        }
    }

    /// Decides on the arguments as they are now, or on those that the caller saw.
    async fn decide(
        &self,
        id: &str,
        mut body: Value,
        digest: Option<String>,
    ) -> Result<(), Failure> {
        let asked = self.find(id).await?;
        let digest = digest.or_else(|| text(&asked, "arguments_digest"));
        body["arguments_digest"] = Value::from(digest);
        let id = text(&asked, "id").unwrap_or_default();
        let decided = self
            .client
            .post(&format!("approvals/{id}/resolve"), &body)
            .await?;
        self.show(&decided);
        Ok(())
    }
}

fn read_json(path: &Path) -> Result<Value, Failure> {
    serde_json::from_str(&read(path)?).map_err(|error| {
        Failure::new(format!("{} is no JSON", path.display()), "write one value").because(&error)
    })
}

fn read_arguments(path: &Path) -> Result<Value, Failure> {
    let text = read(path)?;
    // As strict as the server: what two readers understand differently is not sent.
    let arguments = ::tools::arguments::parse(&text).map_err(|error| {
        Failure::new(
            format!("{} holds no arguments", path.display()),
            "write one JSON object",
        )
        .because(&error)
    })?;
    Ok(Value::Object(arguments))
}

fn read(path: &Path) -> Result<String, Failure> {
    let read = || {
        if path == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        }
    };
    let shown = path.display();
    read().map_err(|error| {
        Failure::new(format!("{shown} cannot be read"), "check the path").because(&error)
    })
}
