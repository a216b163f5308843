//! The benchmark's program: the driver, and the relay that it measures against, which is a process of its own.

use bench::{RelayArgs, RunArgs};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "runyard-bench",
    about = "Measures the server against a bare relay and the disk"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print a table for each scenario
    Run(RunArgs),
    /// Serve the relay: the same turns, with nothing stored
    Relay(RelayArgs),
    /// Serve a tool on standard input and output
    McpServer,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        // The driver shares the machine with what it measures; one thread is enough and wakes nobody.
        Command::Run(args) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(run(args)),
        Command::Relay(args) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(bench::serve_relay(args)),
        Command::McpServer => {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(bench::serve_mcp());
            Ok(())
        }
    }
}

/// Measures until done or told to end. Either way the servers and their data are gone afterwards.
async fn run(args: RunArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = bench::run(args) => done,
        _ = terminate.recv() => anyhow::bail!("interrupted"),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}
