//! `cargo xtask test`: the table of stages, run in order until one fails.

use crate::services::CHROMIUM;
use crate::services::{Mode, Services};
use crate::tally::Tally;
use crate::{child, clients, faults, places, report, services};
use anyhow::{bail, ensure};
use clap::Args;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

#[derive(Args)]
pub struct TestArgs {
    /// Run this stage alone; may be given several times
    #[arg(long, value_name = "NAME", value_parser = STAGES.map(|stage| stage.name))]
    only: Vec<String>,
    /// Where PostgreSQL and NATS may come from
    #[arg(long, value_enum, default_value_t, env = "RUNYARD_SERVICES")]
    services: Mode,
    /// Passed to `cargo test`, and only the stage `test` runs: `-- -p store runs::`
    #[arg(last = true, value_name = "ARGS")]
    test_args: Vec<String>,
}

struct Stage {
    name: &'static str,
    /// The stage exists where this file does; a path from the repository's top.
    file: &'static str,
    /// Whether it needs PostgreSQL and NATS.
    services: bool,
    /// Several times what it takes on two cores, building included; what takes longer hangs.
    minutes_max: u64,
    run: fn(&Run<'_>) -> anyhow::Result<()>,
}

/// In the order in which they run: the quickest to fail first.
const STAGES: [Stage; 7] = [
    Stage {
        name: "fmt",
        file: "rustfmt.toml",
        services: false,
        minutes_max: 2,
        run: fmt,
    },
    Stage {
        name: "clippy",
        file: "clippy.toml",
        services: false,
        minutes_max: 20,
        run: clippy,
    },
    Stage {
        name: "test",
        file: "Cargo.toml",
        services: true,
        minutes_max: 40,
        run: cargo_test,
    },
    Stage {
        name: "faults",
        file: "docs/seeded-faults.md",
        services: true,
        minutes_max: 20,
        run: |run| faults::all(services_of(run)),
    },
    Stage {
        name: "console",
        file: "console/package.json",
        services: false,
        minutes_max: 10,
        run: console,
    },
    Stage {
        name: "e2e",
        file: "console/e2e/run.mjs",
        services: false,
        minutes_max: 20,
        run: e2e,
    },
    Stage {
        name: "clients",
        file: "clients/python/requirements.txt",
        services: false,
        minutes_max: 20,
        run: |_| clients::test(),
    },
];

/// What the stages are given.
struct Run<'a> {
    services: Option<&'a Services>,
    test_args: &'a [String],
}

enum Outcome {
    Passed(Duration),
    Failed(Duration),
    NotRun,
}

/// Runs the chosen stages and says how each went; fails if one did.
pub fn test(args: &TestArgs) -> anyhow::Result<()> {
    let chosen: Vec<&Stage> = STAGES
        .iter()
        .filter(|stage| chosen(stage, args))
        .filter(|stage| places::root().join(stage.file).exists())
        .collect();
    ensure!(
        !chosen.is_empty(),
        "nothing to run for --only {}",
        args.only.join(" ")
    );
    let services = chosen
        .iter()
        .any(|stage| stage.services)
        .then(|| Services::bring(args.services))
        .transpose()?;
    let run = Run {
        services: services.as_ref(),
        test_args: &args.test_args,
    };

    let begin = Instant::now();
    let mut failure = None;
    let mut outcomes = Vec::new();
    for stage in &chosen {
        let outcome = if failure.is_some() {
            Outcome::NotRun
        } else {
            report::line(format_args!("==> {}", stage.name));
            let begin = Instant::now();
            let limit = Duration::from_secs(stage.minutes_max * 60);
            match child::within(limit, || (stage.run)(&run)) {
                Ok(()) => Outcome::Passed(begin.elapsed()),
                Err(error) => {
                    failure = Some(error.context(format!("stage {} failed", stage.name)));
                    Outcome::Failed(begin.elapsed())
                }
            }
        };
        outcomes.push((stage.name, outcome));
    }
    summarise(&outcomes, begin.elapsed());
    failure.map_or(Ok(()), Err)
}

fn chosen(stage: &Stage, args: &TestArgs) -> bool {
    match (args.only.as_slice(), args.test_args.as_slice()) {
        ([], []) => true,
        ([], _) => stage.name == "test",
        (only, _) => only.iter().any(|name| name == stage.name),
    }
}

fn summarise(outcomes: &[(&str, Outcome)], whole: Duration) {
    report::line(format_args!("==> summary"));
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed(time) => {
                report::line(format_args!(
                    "{name:<10} passed   {}",
                    report::elapsed(*time)
                ));
            }
            Outcome::Failed(time) => {
                report::line(format_args!(
                    "{name:<10} FAILED   {}",
                    report::elapsed(*time)
                ));
            }
            Outcome::NotRun => report::line(format_args!("{name:<10} not run")),
        }
    }
    report::line(format_args!(
        "{:<10}          {}",
        "together",
        report::elapsed(whole)
    ));
}

fn fmt(_: &Run<'_>) -> anyhow::Result<()> {
    needs_component("fmt")?;
    succeed(child::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(_: &Run<'_>) -> anyhow::Result<()> {
    needs_component("clippy")?;
    succeed(child::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn services_of<'a>(run: &Run<'a>) -> &'a Services {
    run.services.expect("the stage says that it needs services")
}

fn cargo_test(run: &Run<'_>) -> anyhow::Result<()> {
    let services = services_of(run);
    let mut command = child::cargo();
    command.args(["test", "--locked"]);
    // Cargo lets --workspace win over -p; a choice of packages would do nothing.
    let names_package = |arg: &String| arg.starts_with("-p") || arg.starts_with("--package");
    let for_cargo = run
        .test_args
        .split(|arg| arg == "--")
        .next()
        .unwrap_or_default();
    if !for_cargo.iter().any(names_package) {
        command.arg("--workspace");
    }
    command
        .args(run.test_args)
        .envs(services.variables())
        .current_dir(places::root())
        .stdout(Stdio::piped());
    let mut tally = Tally::default();
    let status = thread::scope(|scope| {
        child::run_with(&mut command, |child| {
            let output = child
                .stdout
                .take()
                .expect("the output was asked for as a pipe");
            // An error means that nobody reads what the tests print; they fail of it by themselves.
            scope.spawn(|| tally.copy(output, io::stdout().lock()));
        })
    })?;
    report::line(format_args!("{tally}"));
    ensure!(status.success(), "cargo test: {status}");
    Ok(())
}

fn console(_: &Run<'_>) -> anyhow::Result<()> {
    let folder = places::root().join("console");
    npm_ci(&folder)?;
    succeed(&mut npm_test(&folder))
}

/// The console in a real browser against the server as built.
fn e2e(_: &Run<'_>) -> anyhow::Result<()> {
    services::provide(&[Some(CHROMIUM)])?;
    let folder = places::root().join("console");
    npm_ci(&folder)?;
    succeed(child::cargo().args(["build", "--locked", "-p", "server", "-p", "scripted"]))?;
    let mut command = npm(&folder);
    command.args(["run", "--silent", "e2e"]);
    if let Some(browser) = services::chromium() {
        command.env("CHROMIUM", browser);
    }
    succeed(&mut command)
}

/// Installs the packages of a folder if its lock file asks for others than are there.
pub fn npm_ci(folder: &Path) -> anyhow::Result<()> {
    if packages_are_stale(folder) {
        succeed(npm(folder).args(["ci", "--no-audit", "--no-fund"]))?;
    }
    Ok(())
}

pub fn npm_test(folder: &Path) -> Command {
    let mut command = npm(folder);
    command.arg("test");
    command
}

fn npm(folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(folder);
    command
}

/// Whether the installed packages are missing or older than what the lock file asks for.
fn packages_are_stale(folder: &Path) -> bool {
    let installed = modified(&folder.join("node_modules/.package-lock.json"));
    installed.is_none() || installed < modified(&folder.join("package-lock.json"))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn needs_component(name: &str) -> anyhow::Result<()> {
    let quiet = || Stdio::null();
    let found = child::run(
        child::cargo()
            .args([name, "--version"])
            .stdout(quiet())
            .stderr(quiet()),
    )?;
    if !found.success() {
        bail!("cargo {name} is not installed; this does it: rustup component add rustfmt clippy");
    }
    Ok(())
}

/// Runs a command from the repository's top, unless it has a folder of its own, to success.
pub fn succeed(command: &mut Command) -> anyhow::Result<()> {
    if command.get_current_dir().is_none() {
        command.current_dir(places::root());
    }
    let status = child::run(command)?;
    ensure!(
        status.success(),
        "{}: {status}",
        command.get_program().to_string_lossy()
    );
    Ok(())
}
