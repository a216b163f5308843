//! The stage `clients`: published clients, in the versions that their lock files name, against the server as built. It
//! knows how they are installed and started, not what they ask.

use crate::stages::{npm_ci, npm_test, succeed};
use crate::{child, places};
use anyhow::{Context, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the tests start: of `server` the program, of `scripted` the model.
const PACKAGES: [&str; 2] = ["server", "scripted"];

/// Builds the programs, brings the clients, and runs their tests.
pub fn test() -> anyhow::Result<()> {
    let python = python()?;
    let mut build = child::cargo();
    build.args(["build", "--locked", "--bins"]);
    for package in PACKAGES {
        build.args(["-p", package]);
    }
    succeed(&mut build)?;
    let programs = target().join("debug");
    let folder = places::root().join("clients");
    // Also holds the servers of tools that the tests in Python start.
    let node = folder.join("node");
    npm_ci(&node)?;
    let mut pytest = Command::new(environment(&python, &folder.join("python"))?);
    pytest
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .arg(folder.join("python/tests"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RUNYARD_PROGRAMS", &programs);
    succeed(&mut pytest)?;
    succeed(npm_test(&node).env("RUNYARD_PROGRAMS", &programs))
}

/// Where cargo leaves what it builds.
fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => places::root().join(folder),
        None => places::root().join("target"),
    }
}

/// A Python 3 that can make virtual environments with pip in them.
fn python() -> anyhow::Result<PathBuf> {
    let Some(python) = places::find_program("python3") else {
        bail!("the clients' tests need Python 3, and there is no python3 in PATH; install it");
    };
    let mut probe = Command::new(&python);
    probe
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null());
    if !child::run(&mut probe)?.success() {
        bail!(
            "{} cannot make virtual environments; on Debian this does it: apt install python3-venv",
            python.display()
        );
    }
    Ok(python)
}

/// The Python of an environment that holds what `requirements.txt` names, made anew when that changed.
fn environment(python: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(folder.join("requirements.txt"))
        .context("clients/python/requirements.txt cannot be read")?;
    let place = target().join("clients/python");
    let inside = place.join("bin/python");
    let installed = place.join("installed.txt");
    if inside.is_file() && fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(inside);
    }
    succeed(
        Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(&place),
    )?;
    succeed(
        Command::new(&inside)
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(folder.join("requirements.txt")),
    )?;
    fs::write(&installed, wanted).context("the environment of the clients cannot be written")?;
    Ok(inside)
}
