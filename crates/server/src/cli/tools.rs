//! `runyard tools`: every tool that agents can be given, as the configuration and the store know them. No server is asked.

use super::terminal::{brief, say};
use super::{Context, Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::{self, Flags, Places};
use crate::serve;
use ::tools::mcp::ToolState;
use clap::Subcommand;
use comfy_table::Table;
use domain::tool::{Effect, Policy};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub enum Tools {
    /// List the tools, with what repeating a call does and whether a person is asked
    List {
        /// Print one line of JSON a tool
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
}

/// A line of the list.
struct Line {
    name: String,
    effect: &'static str,
    policy: &'static str,
    from: String,
    state: String,
}

pub async fn tools(command: Tools, context: &Context) -> Outcome {
    let Tools::List { json, places } = command;
    let settings = config::load(&Flags::from(places), &context.env, &context.here)?;
    let store = serve::open_store(&settings.database, store::OpenMode::Beside).await?;
    let stores = serve::Stores {
        pins: store.clone(),
        logins: store.clone(),
        make_key: false,
        results: None,
    };
    let tools = serve::tools(&settings, &context.env, Arc::new(SystemClock), stores).await?;
    tools.servers.remember(&tools.gateway).await;
    store.close().await;
    show(&lines(&tools), json);
    Ok(ExitCode::SUCCESS)
}

fn lines(tools: &serve::Tools) -> Vec<Line> {
    let mut lines: Vec<Line> = tools
        .gateway
        .tools()
        .into_iter()
        .map(|(spec, from)| Line {
            name: spec.name,
            effect: effect(spec.effect),
            policy: policy(spec.policy),
            from: from.unwrap_or_else(|| "this server".to_owned()),
            state: "ready".to_owned(),
        })
        .collect();
    for server in tools.servers.status() {
        for tool in server.tools {
            let state = match tool.state {
                ToolState::Ready => continue,
                ToolState::Changed { .. } => "changed; see `runyard mcp list`".to_owned(),
                ToolState::Unusable { why } => why,
            };
            lines.push(Line {
                name: tool.name,
                effect: "",
                policy: "",
                from: format!("MCP server `{}`", server.name),
                state,
            });
        }
    }
    lines
}

fn show(lines: &[Line], as_json: bool) {
    if as_json {
        for line in lines {
            let line = json!({
                "name": line.name, "effect": line.effect, "policy": line.policy,
                "from": line.from, "state": line.state,
            });
            say(&line.to_string());
        }
        return;
    }
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["NAME", "EFFECT", "POLICY", "FROM", "STATE"]);
    for line in lines {
        table.add_row([
            &brief(&line.name, 70),
            line.effect,
            line.policy,
            &brief(&line.from, 40),
            &brief(&line.state, 80),
        ]);
    }
    say(&table.trim_fmt());
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Idempotent => "idempotent",
        Effect::Keyed => "keyed",
        Effect::Unsafe => "unsafe",
    }
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Auto => "auto",
        Policy::Ask => "ask",
        Policy::AlwaysAsk => "always_ask",
        Policy::Deny => "deny",
    }
}

/// Said where a tool cannot be found.
pub fn unknown(server: &str, tool: &str) -> Failure {
    Failure::new(
        format!("nothing is known of a tool {tool:?} of an MCP server {server:?}"),
        "`runyard mcp list` shows what is",
    )
}
