//! `cargo xtask bench`: builds the release binaries and hands over to the benchmark's driver.

use crate::{child, places};
use anyhow::{Context, ensure};
use clap::Args;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

/// The packages whose binaries the benchmark starts, built together so that they share what they depend on.
const PACKAGES: [&str; 3] = ["server", "scripted", "bench"];

/// Raises the limit of open files as far as this user may, for thousands of open streams, then becomes the command.
const UNLIMITED: &str = r#"ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@""#;

#[derive(Args)]
pub struct BenchArgs {
    /// Passed to the driver, whose --help lists them: --quick, --only NAME…, --seconds N, --json FILE and more
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    args: Vec<String>,
}

/// Builds, then measures. Fails if something could not be built or measured, not if a goal was missed.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let program = build()?;
    let mut driver = Command::new("sh");
    driver.args(["-c", UNLIMITED, "sh"]).arg(program).arg("run");
    let measured = child::run(driver.args(&args.args))?;
    ensure!(measured.success(), "the benchmark's driver: {measured}");
    Ok(())
}

/// The driver's program; the other binaries are beside it.
fn build() -> anyhow::Result<PathBuf> {
    let mut build = child::cargo();
    build.args(["build", "--locked", "--release"]);
    build.arg("--message-format=json-render-diagnostics");
    for package in PACKAGES {
        build.args(["-p", package]);
    }
    build.current_dir(places::root()).stdout(Stdio::piped());
    let mut program = None;
    let built = thread::scope(|scope| {
        child::run_with(&mut build, |child| {
            let output = child
                .stdout
                .take()
                .expect("the output was asked for as a pipe");
            scope.spawn(|| program = find_driver(output));
        })
    })?;
    ensure!(built.success(), "cargo build: {built}");
    program.context("cargo does not say where it built the benchmark's driver")
}

/// The path in cargo's message about the driver (Cargo book, "External tools", JSON messages). Reads to the end, since
/// cargo stops when nobody reads.
fn find_driver(output: impl Read) -> Option<PathBuf> {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let found: Vec<PathBuf> = lines
        .filter_map(|line| {
            let (_, rest) = line.split_once(r#""executable":""#)?;
            let (path, _) = rest.split_once('"')?;
            path.ends_with("runyard-bench").then(|| path.into())
        })
        .collect();
    found.into_iter().next_back()
}

#[cfg(test)]
mod tests {
    use super::find_driver;
    use std::path::PathBuf;

    #[test]
    fn driver_is_found_among_cargos_messages() {
        let output = concat!(
            r#"{"reason":"compiler-artifact","executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","executable":"/t/release/runyard","fresh":true}"#,
            "\n",
            r#"{"reason":"compiler-artifact","executable":"/t/release/runyard-bench","fresh":true}"#,
            "\n",
        );
        let expected = PathBuf::from("/t/release/runyard-bench");
        assert_eq!(find_driver(output.as_bytes()), Some(expected));
        assert_eq!(find_driver(&b"{}\n"[..]), None);
    }
}
