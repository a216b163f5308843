//! The repository's files and manifests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::Table;

/// Folders that only builds fill; looked at when there is no git to ask.
const BUILT: [&str; 5] = [".git", "target", "node_modules", "data", "dist"];

pub fn root() -> PathBuf {
    let tidy = Path::new(env!("CARGO_MANIFEST_DIR"));
    tidy.ancestors()
        .nth(2)
        .expect("tidy is crates/tidy")
        .to_owned()
}

/// Every file that is or would be committed, as a path from the top, in order.
pub fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let mut files = match listed {
        Some(output) => String::from_utf8_lossy(&output.stdout)
            .split_terminator('\0')
            .filter(|file| root().join(file).is_file())
            .map(str::to_owned)
            .collect(),
        // An unpacked archive has no git.
        None => walk(&root()),
    };
    files.sort();
    files.dedup();
    files
}

fn walk(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
        let path = entry
            .expect("a folder of the repository can be read")
            .path();
        if path.is_file() {
            let path = path
                .strip_prefix(root())
                .expect("the walk began at the root");
            files.push(path.to_string_lossy().into_owned());
        } else if path.is_dir() && !BUILT.iter().any(|built| path.ends_with(built)) {
            files.extend(walk(&path));
        }
    }
    files
}

/// A file's text; `None` if it is no text.
pub fn text(file: &str) -> Option<String> {
    let bytes = fs::read(root().join(file)).expect("a listed file can be read");
    String::from_utf8(bytes).ok()
}

/// A crate of this repository.
pub struct Crate {
    pub name: String,
    pub manifest: Table,
    pub is_library: bool,
}

/// Every crate, xtask included.
pub fn crates() -> Vec<Crate> {
    let manifests = files().into_iter().filter(|file| {
        file.ends_with("/Cargo.toml") && (file.starts_with("crates/") || file.starts_with("xtask/"))
    });
    manifests
        .map(|file| {
            let manifest = table(&text(&file).expect("a manifest is text"));
            let name = manifest["package"]["name"]
                .as_str()
                .expect("a crate has a name")
                .to_owned();
            let library = root().join(file.replace("Cargo.toml", "src/lib.rs"));
            Crate {
                name,
                manifest,
                is_library: library.is_file(),
            }
        })
        .collect()
}

pub fn table(text: &str) -> Table {
    text.parse()
        .unwrap_or_else(|error| panic!("not TOML: {error}\n{text}"))
}
