//! `runyard chat`: a conversation in the terminal with an agent of a running server, approvals included.

use super::client::{Client, text};
use super::events::{Event, Events};
use super::lines::Lines;
use super::markdown::Markdown;
use super::run::{Choice, agent_type};
use super::show::{Ending, Show};
use super::terminal::{Style, brief, note, program, say, visible};
use super::{Context, Failure, Outcome, Target};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Stdout, Write};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Chat {
    /// The agent's type, such as deployment_advisor
    agent: String,
    /// Go on in this thread
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    target: Target,
}

/// Messages of an earlier conversation that are shown again.
const RECALLED_MAX: usize = 6;

pub async fn chat(chat: Chat, context: &Context) -> Outcome {
    let client = Client::find(&chat.target, context)?;
    let style = Style::of(io::stdout().is_terminal());
    let thread = match &chat.thread {
        Some(thread) => {
            recall(&client, thread, style, RECALLED_MAX).await?;
            thread.clone()
        }
        None => client.create_thread(&agent_type(&chat.agent)).await?,
    };
    note(&style.dim(&format!(
        "thread {thread}; Ctrl-C stops a run, /history shows what was said, an empty line or Ctrl-D ends"
    )));
    let mut talk = Talk {
        client,
        thread,
        choice: chat.choice,
        lines: Lines::of_stdin(),
        style,
    };
    loop {
        talk.prompt("you> ");
        let line = tokio::select! {
            line = talk.lines.next() => line,
            _ = tokio::signal::ctrl_c() => None,
        };
        match line {
            Some(line) if line.trim() == "/history" => talk.history().await?,
            Some(line) if !line.trim().is_empty() => talk.turn(&line).await?,
            _ => break,
        }
    }
    say("");
    note(&style.dim(&format!(
        "go on with: {} chat {} --thread {}",
        program(),
        chat.agent,
        talk.thread
    )));
    Ok(ExitCode::SUCCESS)
}

struct Talk {
    client: Client,
    thread: String,
    choice: Choice,
    lines: Lines,
    style: Style,
}

impl Talk {
    fn prompt(&self, text: &str) {
        let mut out = io::stdout();
        let _ = write!(out, "{}", self.style.bold(text));
        let _ = out.flush();
    }

    /// The whole conversation again.
    async fn history(&self) -> Result<(), Failure> {
        recall(&self.client, &self.thread, self.style, usize::MAX).await
    }

    /// One run: the line goes in, its answer comes out.
    async fn turn(&mut self, line: &str) -> Result<(), Failure> {
        let options = self.choice.options();
        let started = self.client.start_run(&self.thread, line, options).await;
        let mut events = match started {
            Ok(events) => events,
            Err(failure) => {
                // The conversation may go on, once what is in the way is over.
                super::terminal::complain(&failure);
                return Ok(());
            }
        };
        let mut show = Show::new(io::stdout(), io::stdout(), self.style);
        let mut cancelling = false;
        loop {
            let event = tokio::select! {
                event = events.next(&self.client) => event?,
                _ = tokio::signal::ctrl_c() => {
                    if cancelling {
                        return Err(Failure::new(
                            "left without waiting for the cancelled run",
                            format!("look at it with: runyard chat AGENT --thread {}", self.thread),
                        ));
                    }
                    cancelling = true;
                    show.aside("stopping the run");
                    self.client.cancel(&events.run_id).await?;
                    continue;
                }
            };
            let Some(event) = event else { return Ok(()) };
            if event.kind == "approval_requested" {
                self.decide(&event, &events, &mut show).await?;
                continue;
            }
            match show.event(&event) {
                None | Some(Ending::Completed) => {}
                Some(Ending::Cancelled) => {
                    show.aside("the run was stopped; what it said so far is kept")
                }
                Some(Ending::Failed(why)) => {
                    say(&self.style.red(&format!("the run failed: {why}")));
                }
            }
        }
    }

    /// Shows all of a call and asks. At the end of the input nothing is decided, and the run waits on.
    async fn decide(
        &mut self,
        event: &Event,
        events: &Events,
        show: &mut Show<Stdout, Stdout>,
    ) -> Result<(), Failure> {
        let approval = &event.data["approval"];
        let id = text(approval, "id").unwrap_or_default();
        let name = visible(&text(approval, "tool_name").unwrap_or_default());
        let arguments = serde_json::to_string_pretty(&approval["arguments"]).unwrap_or_default();
        show.aside("");
        say(&self.style.yellow(&format!("{name} asks for approval:")));
        say(&visible(&arguments));
        if let Some(why) = text(approval, "why").filter(|why| !why.is_empty()) {
            say(&self.style.dim(&brief(&why.replace('`', ""), 400)));
        }
        if let Some(risk) = text(approval, "risk").filter(|risk| !risk.is_empty()) {
            say(&format!("risk: {}", brief(&risk, 400)));
        }
        self.prompt("allow it? [y/N, or a reason why not] ");
        let answer = tokio::select! {
            answer = self.lines.next() => answer,
            _ = tokio::signal::ctrl_c() => {
                show.aside("stopping the run");
                return self.client.cancel(&events.run_id).await;
            }
        };
        let Some(answer) = answer else {
            show.aside("undecided; the run waits for a decision made elsewhere");
            return Ok(());
        };
        let body = decision(answer.trim(), approval);
        let path = format!("approvals/{id}/resolve");
        self.client.post(&path, &body).await.map(|_| ())
    }
}

/// Only a plain yes approves; other words are the reason of a denial.
fn decision(answer: &str, approval: &Value) -> Value {
    let lower = answer.to_lowercase();
    let mut body = match lower.as_str() {
        "y" | "yes" => json!({ "decision": "approve" }),
        "" | "n" | "no" => json!({ "decision": "deny" }),
        _ => json!({ "decision": "deny", "reason": answer }),
    };
    // Bound to what was shown, should it have changed meanwhile.
    if let Some(digest) = text(approval, "arguments_digest") {
        body["arguments_digest"] = Value::from(digest);
    }
    body
}

/// The last `count` things that were said in the conversation so far.
async fn recall(client: &Client, thread: &str, style: Style, count: usize) -> Result<(), Failure> {
    let thread = client.get(&format!("threads/{thread}")).await?;
    let none = Vec::new();
    let messages = thread["messages"].as_array().unwrap_or(&none);
    let spoken: Vec<(&str, String)> = messages
        .iter()
        .filter_map(|message| {
            let who = match message["role"].as_str()? {
                "user" => "you> ",
                "assistant" => "",
                _ => return None,
            };
            Some((who, content(&message["content"])))
        })
        .filter(|(_, words)| !words.is_empty())
        .collect();
    for (who, words) in spoken.iter().skip(spoken.len().saturating_sub(count)) {
        if who.is_empty() && !style.is_plain() {
            let mut markdown = Markdown::new(style);
            let shown = markdown.push(words) + &markdown.end();
            say(shown.trim_end());
        } else {
            say(&format!("{}{}", style.bold(who), visible(words)));
        }
    }
    Ok(())
}

/// A message's text, whether it is one or in parts.
fn content(content: &Value) -> String {
    match content {
        Value::String(words) => words.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| text(part, "text")).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_approves() {
        let approval = json!({"arguments_digest": "d"});
        let approve = json!({"decision": "approve", "arguments_digest": "d"});
        assert_eq!(decision("Y", &approval), approve);
        assert_eq!(
            decision("", &approval),
            json!({"decision": "deny", "arguments_digest": "d"})
        );
        let reason =
            json!({"decision": "deny", "reason": "yes but later", "arguments_digest": "d"});
        assert_eq!(decision("yes but later", &approval), reason);
    }
}
