//! The command line: what can be asked of the program, and how it says what went wrong. What the commands do is in the
//! files beside it.

mod agents;
mod approvals;
mod audit;
mod backup;
mod chat;
mod client;
mod console;
mod demo;
mod doctor;
mod events;
mod failure;
mod frames;
mod gate;
mod hidden;
mod keys;
mod lanes;
mod lines;
mod markdown;
mod mcp;
mod moving;
mod policy;
mod prove;
mod run;
mod runs;
mod show;
mod terminal;
mod tools;
mod webhooks;

pub use demo::{demonstrate, sign_in_link};
pub use failure::Failure;
pub use terminal::{Style, program, say};

use crate::config::{Env, Flags, Places};
use clap::{CommandFactory, Parser, Subcommand};
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

/// A self-hosted server for AI agents, in one program.
#[derive(Parser)]
#[command(
    name = "runyard",
    version,
    about,
    after_help = "A first look, with nothing else installed: runyard serve --demo"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server
    Serve {
        #[command(flatten)]
        flags: Flags,
        /// Once ready, run the sample agent deployment_advisor here in the terminal, then go on serving
        #[arg(long)]
        demo: bool,
    },
    /// Print a link that opens the console signed in on this machine
    Console(console::Console),
    /// Talk with an agent of a running server; Ctrl-C stops its run
    Chat(chat::Chat),
    /// Run an agent once on a running server and print its answer
    Run(run::Run),
    /// See and check agents' files
    Agents {
        #[command(subcommand)]
        command: agents::Agents,
    },
    /// See and decide what runs of a running server wait for
    Approvals {
        #[command(subcommand)]
        command: approvals::Approvals,
    },
    /// Try an agent's intent gate on labelled inputs
    Gate {
        #[command(subcommand)]
        command: gate::Gate,
    },
    /// See where models run and how that goes, and why an agent would run in one of them
    Lanes(lanes::Lanes),
    /// See what policy says of a call, and check the rules
    Policy {
        #[command(subcommand)]
        command: policy::Policies,
    },
    /// Check and export the record of decisions, directly in the store
    Audit {
        #[command(subcommand)]
        command: audit::Audit,
    },
    /// Copy the embedded store into one file, while a server runs on it or not
    Backup(backup::Backup),
    /// Bring a backup back into an empty data folder; its open runs wait until you let them go on
    Restore(backup::Restore),
    /// Move the embedded store into PostgreSQL; run again after an interruption, it goes on
    Move(moving::Move),
    /// Try on this machine what Runyard promises, on scratch stores, with a report at the end
    Prove {
        #[command(subcommand)]
        command: prove::Prove,
    },
    /// Keep runs from going on, let them go, take them out and bring them in, directly in the store
    Runs {
        #[command(subcommand)]
        command: runs::Runs,
    },
    /// See messages to other systems and send them again, directly in the store
    Webhooks {
        #[command(subcommand)]
        command: webhooks::Webhooks,
    },
    /// Make, see and revoke API keys, directly in the store
    Keys {
        #[command(subcommand)]
        command: keys::Keys,
    },
    /// See the tools that agents can be given
    Tools {
        #[command(subcommand)]
        command: tools::Tools,
    },
    /// See and accept what MCP servers offer, directly in the store
    Mcp {
        #[command(subcommand)]
        command: mcp::Mcp,
    },
    /// See what is configured, reachable and writable, and how to mend what is not
    Doctor(Flags),
}

/// How to reach a running server.
#[derive(Debug, Clone, clap::Args)]
struct Target {
    /// The server's address [env: RUNYARD_URL] [default: the local server's, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// API key [env: RUNYARD_KEY] [default: the owner's key of the local data folder]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    places: Places,
}

/// What every command is given of its surroundings.
struct Context {
    env: Env,
    here: PathBuf,
}

type Outcome = Result<ExitCode, Failure>;

/// Every command with its flags, for what checks the documents.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the process's arguments ask for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    domain::crash::arm();
    // Fails only if it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            terminal::complain(&failure);
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(command: Command) -> Outcome {
    let context = Context {
        env: Env::of_process(),
        here: std::env::current_dir().map_err(|error| {
            Failure::new(
                "the current folder is not there",
                "change to another folder",
            )
            .because(&error)
        })?,
    };
    match command {
        Command::Serve { flags, demo } => {
            crate::serve::main(&flags, &context.env, &context.here, demo)
        }
        Command::Console(command) => alone(console::console(command, &context)),
        Command::Chat(chat) => alone(chat::chat(chat, &context)),
        Command::Run(run) => alone(run::run(run, &context)),
        Command::Agents { command } => agents::agents(command, &context),
        Command::Approvals { command } => alone(approvals::approvals(command, &context)),
        Command::Gate { command } => alone(gate::gate(command, &context)),
        Command::Lanes(command) => alone(lanes::lanes(command, &context)),
        Command::Policy { command } => alone(policy::policies(command, &context)),
        Command::Audit { command } => alone(audit::audit(command, &context)),
        Command::Backup(command) => alone(backup::backup(command, &context)),
        Command::Restore(command) => alone(backup::restore(command, &context)),
        Command::Move(command) => alone(moving::move_(command, &context)),
        Command::Prove { command } => broad(prove::prove(command, &context)),
        Command::Runs { command } => alone(runs::runs(command, &context)),
        Command::Webhooks { command } => alone(webhooks::webhooks(command, &context)),
        Command::Keys { command } => alone(keys::keys(command, &context)),
        Command::Tools { command } => alone(tools::tools(command, &context)),
        Command::Mcp { command } => alone(mcp::mcp(command, &context)),
        Command::Doctor(flags) => alone(doctor::doctor(&flags, &context)),
    }
}

/// Runs a command on one thread.
fn alone(work: impl Future<Output = Outcome>) -> Outcome {
    carried(tokio::runtime::Builder::new_current_thread(), work)
}

/// Runs a command that has many things to do at once.
fn broad(work: impl Future<Output = Outcome>) -> Outcome {
    carried(tokio::runtime::Builder::new_multi_thread(), work)
}

/// What a command leaves behind, such as a thread that reads the terminal, is not waited for.
fn carried(mut on: tokio::runtime::Builder, work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = on.enable_all().build().map_err(|error| {
        Failure::new("the system gives no event queue", "close other programs").because(&error)
    })?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
