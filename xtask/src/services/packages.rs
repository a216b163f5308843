//! Installs the services' programs where that is usual: as root on Debian and its kin.

use super::{browser, nats, postgres};
use crate::{child, places, report};
use anyhow::{bail, ensure};
use std::fs;
use std::process::Command;

/// A program's package and the check for it.
#[derive(Clone, Copy)]
pub struct Package {
    debian: &'static str,
    homebrew: &'static str,
    installed: fn() -> bool,
}

pub const POSTGRESQL: Package = Package {
    debian: "postgresql",
    homebrew: "postgresql@17",
    installed: || postgres::programs().is_some(),
};

pub const NATS_SERVER: Package = Package {
    debian: "nats-server",
    homebrew: "nats-server",
    installed: nats::installed,
};

/// Kills and fails the server at its system calls; there is none elsewhere.
pub const STRACE: Option<Package> = if cfg!(target_os = "linux") {
    Some(Package {
        debian: "strace",
        homebrew: "strace",
        installed: || places::find_program("strace").is_some(),
    })
} else {
    None
};

/// Gives the server another time than the machine's; the tests that need it are for Linux.
pub const FAKETIME: Option<Package> = if cfg!(target_os = "linux") {
    Some(Package {
        debian: "faketime",
        homebrew: "libfaketime",
        installed: || places::find_program("faketime").is_some(),
    })
} else {
    None
};

pub const CHROMIUM: Package = Package {
    debian: "chromium",
    homebrew: "chromium",
    installed: || browser::chromium().is_some(),
};

/// Installs the wanted packages that are not there.
///
/// Fails with the one line that installs them if this is not root on Debian.
pub fn provide(wanted: &[Option<Package>]) -> anyhow::Result<()> {
    let missing: Vec<Package> = wanted
        .iter()
        .flatten()
        .copied()
        .filter(|package| !(package.installed)())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let debian = missing
        .iter()
        .map(|package| package.debian)
        .collect::<Vec<_>>();
    if places::find_program("apt-get").is_none() {
        let homebrew = missing
            .iter()
            .map(|package| package.homebrew)
            .collect::<Vec<_>>();
        bail!(
            "missing programs; this installs them: brew install {}",
            homebrew.join(" ")
        );
    }
    if !is_root() {
        bail!(
            "missing programs; this installs them: \
             sudo apt-get update && sudo apt-get install -y {}",
            debian.join(" ")
        );
    }
    report::line(format_args!("installing {}", debian.join(" ")));
    apt_get(&["update"])?;
    apt_get(
        &[
            &["install", "-y", "--no-install-recommends"],
            debian.as_slice(),
        ]
        .concat(),
    )?;
    ensure!(
        missing.iter().all(|package| (package.installed)()),
        "apt-get succeeded, but the programs are not there"
    );
    Ok(())
}

fn apt_get(args: &[&str]) -> anyhow::Result<()> {
    let status = child::run(
        Command::new("apt-get")
            // A young machine's own upgrades may hold the lock for a while.
            .args(["-o", "DPkg::Lock::Timeout=120"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    ensure!(status.success(), "apt-get {}: {status}", args.join(" "));
    Ok(())
}

/// Root by the owner of this very process, which the standard library does not tell.
fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| {
            line.strip_prefix("Uid:")
                .and_then(|ids| ids.split_whitespace().nth(1))
                == Some("0")
        })
    })
}
