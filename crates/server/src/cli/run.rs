//! `runyard run`: one run on a running server, printed as it goes; the exit code tells how it ended.

use super::client::Client;
use super::events::{Event, Events};
use super::show::{Ending, Show};
use super::terminal::{Style, note, say};
use super::{Context, Outcome, Target, terminal};
use serde_json::{Map, Value};
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// Exit code of a run that was cancelled.
pub const CANCELLED: u8 = 3;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 completed, 1 failed, 2 wrong arguments, 3 cancelled, 4 no answer or refused by the server"
)]
pub struct Run {
    /// The agent's type, such as deployment_advisor
    agent: String,
    /// What it is asked
    text: String,
    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
    /// Go on in this thread instead of a new one
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    target: Target,
}

/// What a run may choose besides its input.
#[derive(Debug, Clone, clap::Args)]
pub struct Choice {
    /// Use this model
    #[arg(long)]
    model: Option<String>,
    /// Use this lane
    #[arg(long)]
    lane: Option<String>,
}

impl Choice {
    pub fn options(&self) -> Map<String, Value> {
        let chosen = [("model", &self.model), ("lane", &self.lane)];
        chosen
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.clone()?))))
            .collect()
    }
}

/// The shell turns words around more easily than people do.
pub fn agent_type(text: &str) -> String {
    text.replace('-', "_")
}

pub async fn run(run: Run, context: &Context) -> Outcome {
    let client = Client::find(&run.target, context)?;
    let thread = match &run.thread {
        Some(thread) => thread.clone(),
        None => client.create_thread(&agent_type(&run.agent)).await?,
    };
    let mut events = client
        .start_run(&thread, &run.text, run.choice.options())
        .await?;
    let style = Style::of(io::stderr().is_terminal());
    let mut show = Show::new(io::stdout(), io::stderr(), style);
    let mut cancelling = false;
    loop {
        let event = tokio::select! {
            event = events.next(&client) => event?,
            _ = tokio::signal::ctrl_c() => {
                if cancelling {
                    return Ok(ExitCode::from(CANCELLED));
                }
                cancelling = true;
                cancel(&client, &events).await?;
                continue;
            }
        };
        let Some(event) = event else {
            return Ok(ExitCode::SUCCESS);
        };
        if event.kind == "approval_requested" {
            wait_note(&event.data);
        }
        if run.json {
            say(&event.raw);
        }
        let ending = if run.json {
            quietly(&event)
        } else {
            show.event(&event)
        };
        if let Some(ending) = ending {
            return Ok(exit_code(&ending));
        }
    }
}

/// The ending alone, without words.
fn quietly(event: &Event) -> Option<Ending> {
    Show::new(io::sink(), io::sink(), Style::plain()).event(event)
}

async fn cancel(client: &Client, events: &Events) -> Result<(), super::Failure> {
    note("cancelling the run; Ctrl-C again leaves without waiting");
    client.cancel(&events.run_id).await
}

fn wait_note(data: &Value) {
    let approval = &data["approval"];
    let field = |name: &str| terminal::brief(approval[name].as_str().unwrap_or_default(), 80);
    note(&format!(
        "waiting for approval {} of {}: decide it in the console, or see it with `runyard approvals show {}`",
        field("id"),
        field("tool_name"),
        field("id"),
    ));
}

pub fn exit_code(ending: &Ending) -> ExitCode {
    match ending {
        Ending::Completed => ExitCode::SUCCESS,
        Ending::Failed(why) => {
            note(&format!("the run failed: {why}"));
            ExitCode::FAILURE
        }
        Ending::Cancelled => {
            note("the run was cancelled");
            ExitCode::from(CANCELLED)
        }
    }
}
