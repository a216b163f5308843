//! Test binaries, built as the whole workspace's are, so that nothing is compiled for this alone. Cargo says where they
//! are.

use super::table::Place;
use crate::{child, places};
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Binaries {
    found: BTreeMap<Place, Binary>,
}

struct Binary {
    program: PathBuf,
    /// The folder that Cargo runs it in.
    folder: PathBuf,
}

/// The part of Cargo's messages ("External tools", "JSON messages") that matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    target: Target,
    #[serde(default)]
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Profile {
    test: bool,
}

impl Binaries {
    pub fn build() -> anyhow::Result<Self> {
        let mut command = child::cargo();
        command
            .args(["test", "--workspace", "--no-run", "--locked", "--quiet"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(places::root());
        let said = child::output(&mut command)?;
        let found = read(&said)?;
        if found.is_empty() {
            bail!("the tests could not be built");
        }
        Ok(Self { found })
    }

    pub fn command(&self, place: &Place) -> anyhow::Result<Command> {
        let binary = self.found.get(place);
        let binary = binary.with_context(|| format!("there are no tests {place}"))?;
        let mut command = Command::new(&binary.program);
        command.current_dir(&binary.folder);
        Ok(command)
    }
}

fn read(said: &str) -> anyhow::Result<BTreeMap<Place, Binary>> {
    let mut found = BTreeMap::new();
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).context("cargo says something new")?;
        let Some(program) = message.executable else {
            continue;
        };
        let folder = message.manifest_path.parent().unwrap_or(Path::new("."));
        let package = folder.file_name().unwrap_or_default().to_string_lossy();
        if message.reason != "compiler-artifact" || !message.profile.test {
            continue;
        }
        let target = match message.target.kind.iter().any(|kind| kind == "lib") {
            true => "lib".to_owned(),
            false => message.target.name,
        };
        let place = Place {
            package: package.into_owned(),
            target,
        };
        let folder = folder.to_owned();
        found.insert(place, Binary { program, folder });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_binaries_are_found_by_package_and_target() {
        let artifact = |kind: &str, name: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/r/crates/store/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":{test}}},"executable":"/t/{name}-{test}"}}"#
            )
        };
        let said = [
            artifact("lib", "store", true),
            artifact("test", "it", true),
            artifact("bin", "runyard", false),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = read(&said.join("\n")).unwrap();
        let places: Vec<String> = found.keys().map(ToString::to_string).collect();
        assert_eq!(places, ["store it", "store lib"]);
        let lib = found.values().last().unwrap();
        assert_eq!(lib.program, Path::new("/t/store-true"));
        assert_eq!(lib.folder, Path::new("/r/crates/store"));
    }
}
