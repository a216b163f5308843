//! `runyard serve --demo`: the first run that a newcomer sees, made through the API of the server that has just
//! started, as any client would.

use super::Failure;
use super::client::{Client, strange, text};
use super::show::{Ending, Show};
use super::terminal::{Style, program, say};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, json};
use std::io::{self, IsTerminal};
use url::Url;

const AGENT: &str = "deployment_advisor";
const QUESTION: &str = "Which rollouts are failing or need attention, and on which devices?";

/// Runs the demonstration and prints it, then where to go on from there. The server goes on whatever becomes of it.
pub async fn demonstrate(url: &str, ticket: Option<&str>, key: &SecretString) {
    let thread = match run(url, key).await {
        Ok(thread) => Some(thread),
        Err(failure) => {
            super::terminal::complain(&failure);
            None
        }
    };
    let style = Style::of(io::stdout().is_terminal());
    say("");
    if let Some(ticket) = ticket {
        let path = match &thread {
            Some(thread) => format!("/console/threads/{thread}"),
            None => "/".to_owned(),
        };
        say("Go on in the browser; this link signs in once, on this machine, within 15 minutes:");
        say(&format!(
            "  {}",
            style.bold(&sign_in_link(url, &path, ticket))
        ));
    }
    if let Some(thread) = thread {
        say("Or in another terminal:");
        say(&format!("  {} chat {AGENT} --thread {thread}", program()));
    }
    say("Ask it to pause what is failing: that changes the fleet, so it stops and asks you first.");
    say("This server goes on until Ctrl-C.");
}

/// Opens the console at `path`, signed in. What stands behind `#` is not sent with a request, so it is in no log.
pub fn sign_in_link(url: &str, path: &str, ticket: &str) -> String {
    format!("{url}{path}#ticket={ticket}")
}

/// The thread that it talked in.
async fn run(url: &str, key: &SecretString) -> Result<String, Failure> {
    let base = Url::parse(&format!("{url}/")).map_err(|error| {
        Failure::new("the demonstration has no server", "start it again").because(&error)
    })?;
    let client = Client::new(base, key.expose_secret())?;
    let style = Style::of(io::stdout().is_terminal());
    say(&style.bold(&format!("{AGENT} is asked: {QUESTION}")));
    // Named, so that it is found again in the console's list.
    let named = json!({ "agent_type": AGENT, "title": QUESTION });
    let thread = client.post("threads", &named).await?;
    let thread = text(&thread, "id").ok_or_else(|| strange("the new thread has no id"))?;
    let mut events = client.start_run(&thread, QUESTION, Map::new()).await?;
    let mut show = Show::new(io::stdout(), io::stdout(), style);
    while let Some(event) = events.next(&client).await? {
        if let Some(Ending::Failed(why)) = show.event(&event) {
            say(&style.red(&format!("the run failed: {why}")));
        }
    }
    Ok(thread)
}
