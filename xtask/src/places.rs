//! Where things are on this machine: the repository and installed programs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The repository's top folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// The folders that may hold programs: `PATH`, then those that an ordinary user's `PATH` on
/// Debian and macOS leaves out.
pub fn program_folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/opt/homebrew/bin",
    ];
    env::split_paths(&path)
        .chain(usual.into_iter().map(PathBuf::from))
        .collect()
}

/// The first of the usual folders that holds `program`, as the program's full path.
pub fn find_program(program: &str) -> Option<PathBuf> {
    program_folders()
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Folders directly in `parent`, those with the highest name first (`16` before `15`); none if
/// `parent` cannot be read.
pub fn newest_first(parent: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.reverse();
    folders
}
