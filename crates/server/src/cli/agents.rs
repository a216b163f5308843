//! `runyard agents`: the agents' files as this machine has them, without a server.

use super::terminal::{Style, brief, note, say};
use super::{Context, Failure, Outcome};
use crate::config::{self, Flags, Places, Settings};
use crate::registry::{Problem, Registry};
use clap::Subcommand;
use comfy_table::Table;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Agents {
    /// List the agents of a folder
    List {
        #[command(flatten)]
        folder: Folder,
    },
    /// Check a folder's files; exit code 1 if one cannot be used
    Check {
        #[command(flatten)]
        folder: Folder,
    },
}

#[derive(Debug, clap::Args)]
pub struct Folder {
    /// Folder of Markdown files; without it the one that the server would use
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub places: Places,
}

pub fn agents(command: Agents, context: &Context) -> Outcome {
    match command {
        Agents::List { folder } => {
            let (registry, _) = open(folder, context)?;
            list(&registry);
            Ok(ExitCode::SUCCESS)
        }
        Agents::Check { folder } => {
            let (registry, settings) = open(folder, context)?;
            Ok(check(&registry, &settings))
        }
    }
}

pub fn open(folder: Folder, context: &Context) -> Result<(Registry, Settings), Failure> {
    let mut flags = Flags::from(folder.places);
    flags.agents = folder.dir.map(|dir| dir.to_string_lossy().into_owned());
    let settings = config::load(&flags, &context.env, &context.here)?;
    let path = &settings.agents.value;
    if !path.is_dir() {
        return Err(Failure::new(
            format!("there is no folder {}", path.display()),
            "name one, or start the server once: it writes two sample agents",
        ));
    }
    Ok((Registry::open(path), settings))
}

fn list(registry: &Registry) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header([
        "AGENT",
        "VERSION",
        "TOOLS",
        "DESCRIPTION",
    ]);
    for definition in registry.definitions() {
        let agent = &definition.agent;
        table.add_row([
            agent.agent_type.clone(),
            agent.version.clone(),
            agent.tools.len().to_string(),
            brief(&agent.description, 80),
        ]);
    }
    say(&table.trim_fmt());
    for problem in registry.problems() {
        note(&problem.to_string());
    }
}

fn check(registry: &Registry, settings: &Settings) -> ExitCode {
    let style = Style::of(io::stdout().is_terminal());
    let problems = registry.problems();
    for problem in &problems {
        say(&format!("{} {problem}", style.red("error")));
    }
    for warning in missing(registry, settings) {
        say(&format!("{} {warning}", style.yellow("warning")));
    }
    let good = registry.definitions().len();
    say(&format!(
        "{good} good, {} broken in {}",
        problems.len(),
        registry.folder().display()
    ));
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Tools and lanes that agents name and the configuration does not have.
pub fn missing(registry: &Registry, settings: &Settings) -> Vec<Problem> {
    let lanes: Vec<String> = settings
        .lanes
        .iter()
        .map(|lane| lane.name.clone())
        .collect();
    // Without configured lanes, those there will be are found out at the start.
    let is_known = |name: &str| crate::serve::is_known_tool(settings, name);
    registry.warnings(&is_known, (!lanes.is_empty()).then_some(&lanes))
}
