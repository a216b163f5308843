//! `cargo xtask deny`: licences, advisories, bans and sources, as `deny.toml` says.

use crate::{child, places};
use anyhow::ensure;
use std::process::Stdio;

/// Runs cargo-deny; fails with the command that installs it if it is not there.
pub fn check(checks: &[String]) -> anyhow::Result<()> {
    let found = child::run(
        child::cargo()
            .args(["deny", "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    ensure!(
        found.success(),
        "cargo-deny is not installed; this does it: cargo install cargo-deny --locked"
    );
    let checked = child::run(
        child::cargo()
            .args(["deny", "--locked", "check"])
            .args(checks)
            .current_dir(places::root()),
    )?;
    ensure!(
        checked.success(),
        "cargo-deny found what its lines above say"
    );
    Ok(())
}
