//! `runyard mcp`: what is trusted of the tools that MCP servers offer, directly in the store, also while a server runs on
//! it. A definition that changed is withheld until it is accepted here.

mod login;

use super::keys::open;
use super::terminal::{brief, note, say};
use super::tools::unknown;
use super::{Context, Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::Places;
use clap::Subcommand;
use comfy_table::Table;
use domain::pin::{ToolOffer, ToolPin};
use domain::ports::clock::Clock;
use domain::ports::store::{Store, StoreError};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Mcp {
    /// List the tools that were seen, and which of them changed since
    List {
        /// Print one line of JSON a tool, with its whole definition
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
    /// Show a tool's trusted definition and the one that its server offers instead
    Show {
        server: String,
        tool: String,
        #[command(flatten)]
        places: Places,
    },
    /// Trust the definition that a server offers instead of the one that was trusted
    Accept {
        server: String,
        tool: String,
        /// The digest of the definition that you saw with `mcp show`
        digest: String,
        #[command(flatten)]
        places: Places,
    },
    /// Log in at a server with OAuth: prints a page to open in a browser
    Login {
        #[command(flatten)]
        which: login::Which,
        /// Where the browser comes back to on this machine; 0 takes a free port
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Forget a login
    Logout {
        #[command(flatten)]
        which: login::Which,
    },
    /// List the servers that take logins, and who is logged in
    Logins {
        /// Print one line of JSON a login
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
}

pub async fn mcp(command: Mcp, context: &Context) -> Outcome {
    match command {
        Mcp::Login { which, port } => return login::login(which, port, context).await,
        Mcp::Logout { which } => return login::logout(which, context).await,
        Mcp::Logins { json, places } => return login::logins(json, places, context).await,
        Mcp::List { json, places } => {
            let store = open(places, context).await?;
            let pins = pins(&*store).await;
            store.close().await;
            list(&pins?, json);
        }
        Mcp::Show {
            server,
            tool,
            places,
        } => {
            let store = open(places, context).await?;
            let pins = pins(&*store).await;
            store.close().await;
            show(&find(&pins?, &server, &tool)?);
        }
        Mcp::Accept {
            server,
            tool,
            digest,
            places,
        } => {
            let store = open(places, context).await?;
            let accepted = accept(&*store, &server, &tool, &digest).await;
            store.close().await;
            accepted?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn pins(store: &dyn Store) -> Result<Vec<ToolPin>, Failure> {
    store.system_tool_pins().await.map_err(failed)
}

fn find(pins: &[ToolPin], server: &str, tool: &str) -> Result<ToolPin, Failure> {
    let same = |pin: &&ToolPin| pin.server == server && pin.trusted.name == tool;
    pins.iter()
        .find(same)
        .cloned()
        .ok_or_else(|| unknown(server, tool))
}

async fn accept(store: &dyn Store, server: &str, tool: &str, digest: &str) -> Result<(), Failure> {
    let at = SystemClock.now();
    let accepted = store
        .system_accept_tool(server, tool, digest, at)
        .await
        .map_err(failed)?;
    if accepted {
        note(&format!(
            "{tool} of {server} is trusted as it is now; a running server offers it within seconds"
        ));
        return Ok(());
    }
    find(&pins(store).await?, server, tool)?;
    Err(Failure::new(
        format!("{server} does not offer {tool} with that digest"),
        "look at it again with `runyard mcp show`: it may have changed once more",
    ))
}

fn list(pins: &[ToolPin], as_json: bool) {
    if as_json {
        for pin in pins {
            say(&described(pin).to_string());
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header([
        "SERVER",
        "TOOL",
        "STATE",
        "SINCE",
        "DESCRIPTION",
    ]);
    for pin in pins {
        let (state, since) = match &pin.offered {
            None => ("trusted", pin.pinned_at),
            Some(other) => ("changed", other.seen_at),
        };
        let day: String = since.to_string().chars().take(19).collect();
        table.add_row([
            brief(&pin.server, 32),
            brief(&pin.trusted.name, 64),
            state.to_owned(),
            day,
            brief(&pin.trusted.description, 60),
        ]);
    }
    say(&table.trim_fmt());
}

/// JSON, because that shows every character that could deceive.
fn show(pin: &ToolPin) {
    note(&format!(
        "trusted since {}, digest {}:",
        pin.pinned_at, pin.digest
    ));
    say(&pretty(&pin.trusted));
    if let Some(other) = &pin.offered {
        note(&format!(
            "offered instead since {}, digest {}:",
            other.seen_at, other.digest
        ));
        say(&pretty(&other.offer));
        note(&format!(
            "to trust it: runyard mcp accept {} {} {}",
            pin.server, pin.trusted.name, other.digest
        ));
    }
}

/// Everything beyond plain ASCII is written as its code.
fn pretty(offer: &ToolOffer) -> String {
    let text = serde_json::to_string_pretty(offer).unwrap_or_default();
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || (' '..='~').contains(&character) {
            shown.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

fn described(pin: &ToolPin) -> serde_json::Value {
    json!({
        "server": pin.server,
        "tool": pin.trusted.name,
        "digest": pin.digest,
        "pinned_at": pin.pinned_at,
        "trusted": pin.trusted,
        "offered": pin.offered.as_ref().map(|other| json!({
            "digest": other.digest,
            "seen_at": other.seen_at,
            "definition": other.offer,
        })),
    })
}

fn failed(error: StoreError) -> Failure {
    Failure::new(
        "the store cannot be read or written",
        "`runyard doctor` looks at the store",
    )
    .because(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_is_shown_as_its_code() {
        let offer = ToolOffer {
            name: "read".to_owned(),
            description: "safe\u{202e}\u{1f600}\u{200b}".to_owned(),
            input_schema: serde_json::Map::new(),
            annotations: serde_json::Map::new(),
        };
        let shown = pretty(&offer);
        assert!(
            shown.contains("safe\\u202e\\ud83d\\ude00\\u200b"),
            "{shown}"
        );
        let read: ToolOffer = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, offer);
    }
}
