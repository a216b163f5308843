//! `runyard console`: a fresh link that opens the console signed in, from the running server.

use super::client::Client;
use super::terminal::say;
use super::{Context, Outcome, Target};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Console {
    #[command(flatten)]
    target: Target,
}

pub async fn console(console: Console, context: &Context) -> Outcome {
    let link = Client::find(&console.target, context)?
        .sign_in_link()
        .await?;
    say("This link opens the console, once, on this machine, within 15 minutes:");
    say(&format!("  {link}"));
    Ok(ExitCode::SUCCESS)
}
