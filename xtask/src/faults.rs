//! `cargo xtask faults`: switches the seeded faults on, one at a time, and demands that the tests which are said to catch
//! each do so. It knows the table in the documentation, not what the faults are.

mod binaries;
mod table;
mod verdict;

use crate::services::{Mode, Services};
use crate::{child, places, report};
use anyhow::{Context, bail, ensure};
use binaries::Binaries;
use clap::Args;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};
use table::{Fault, Place, Test};
use verdict::Verdict;

const TABLE: &str = "docs/seeded-faults.md";

/// Names the fault to a process of a debug build.
const SWITCH: &str = "RUNYARD_SEEDED_FAULT";

/// What one binary may take with a fault on. A test that only ends here has not caught it.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Args)]
pub struct FaultsArgs {
    /// Switch on this one alone; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Tell what there is, and run nothing
    #[arg(long)]
    list: bool,
    /// Where PostgreSQL may come from
    #[arg(long, value_enum, default_value_t, env = "RUNYARD_SERVICES")]
    services: Mode,
}

/// Fails if a test fails without a fault, or passes with the fault that it should catch.
pub fn run(args: &FaultsArgs) -> anyhow::Result<()> {
    let faults = chosen(&args.only)?;
    if args.list {
        for fault in &faults {
            report::line(format_args!("{:<24} {}", fault.name, fault.mistake));
        }
        return Ok(());
    }
    catch(&faults, &Services::bring(args.services)?)
}

/// Every fault.
pub fn all(services: &Services) -> anyhow::Result<()> {
    catch(&chosen(&[])?, services)
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<Fault>> {
    let path = places::root().join(TABLE);
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {TABLE}"))?;
    let mut faults = table::parse(&text)?;
    for name in only {
        let is_known = faults.iter().any(|fault| fault.name == *name);
        ensure!(
            is_known,
            "there is no seeded fault {name}; --list names them"
        );
    }
    if !only.is_empty() {
        faults.retain(|fault| only.contains(&fault.name));
    }
    Ok(faults)
}

fn catch(faults: &[Fault], services: &Services) -> anyhow::Result<()> {
    let bench = Bench {
        binaries: Binaries::build()?,
        services,
    };
    let tests = faults.iter().flat_map(|fault| &fault.tests);
    let begun = Instant::now();
    let sound = bench.run(tests, None)?;
    for test in sound.failed() {
        report::line(format_args!("{test} fails without any fault"));
    }
    ensure!(
        sound.failed().is_empty(),
        "faults are looked for with tests that pass"
    );
    report::line(format_args!(
        "{} tests pass without a fault in {}",
        sound.passed().len(),
        report::elapsed(begun.elapsed())
    ));
    let mut caught = 0;
    for fault in faults {
        caught += usize::from(bench.catches(fault)?);
    }
    let all = faults.len();
    report::line(format_args!("{caught} of {all} seeded faults caught"));
    ensure!(
        caught == all,
        "the suite does not notice every seeded fault"
    );
    Ok(())
}

struct Bench<'a> {
    binaries: Binaries,
    services: &'a Services,
}

impl Bench<'_> {
    /// Says what caught the fault, or what did not though it should have.
    fn catches(&self, fault: &Fault) -> anyhow::Result<bool> {
        let begun = Instant::now();
        let verdict = match self.run(&fault.tests, Some(&fault.name)) {
            Err(error) if !child::interrupted() => {
                report::line(format_args!("{:<24} NOT caught: {error:#}", fault.name));
                return Ok(false);
            }
            verdict => verdict?,
        };
        let elapsed = report::elapsed(begun.elapsed());
        for test in verdict.passed() {
            report::line(format_args!("{:<24} NOT caught by {test}", fault.name));
        }
        let caught = verdict.passed().is_empty();
        if caught {
            let by: Vec<String> = verdict.failed().iter().map(ToString::to_string).collect();
            let by = by.join(", ");
            report::line(format_args!(
                "{:<24} caught in {elapsed} by {by}",
                fault.name
            ));
        }
        Ok(caught)
    }

    /// Runs each test once, those of one binary together.
    fn run<'t>(
        &self,
        tests: impl IntoIterator<Item = &'t Test>,
        fault: Option<&str>,
    ) -> anyhow::Result<Verdict> {
        let mut places: BTreeMap<&Place, BTreeSet<&str>> = BTreeMap::new();
        for test in tests {
            places.entry(&test.place).or_default().insert(&test.name);
        }
        let mut verdict = Verdict::default();
        for (place, names) in places {
            let mut command = self.binaries.command(place)?;
            command
                .arg("--exact")
                .args(&names)
                .envs(self.services.variables())
                .env_remove(SWITCH)
                .stderr(Stdio::null());
            if let Some(fault) = fault {
                command.env(SWITCH, fault);
            }
            // Without a fault all the tests of a binary run at once: the limit is one for each fault.
            let limit = if fault.is_some() { LIMIT } else { 5 * LIMIT };
            let said = child::within(limit, || child::output(&mut command));
            let said = said.with_context(|| format!("{place} with {fault:?}"))?;
            for name in names {
                let test = Test {
                    place: place.clone(),
                    name: name.to_owned(),
                };
                if !verdict.add(test, &said) {
                    bail!("{place} says nothing of {name} with {fault:?}:\n{said}");
                }
            }
        }
        Ok(verdict)
    }
}
