//! The agents that come with the program, and the cases of their gates, for a first start without any. It overwrites nothing.

use crate::clock::SystemClock;
use domain::ports::clock::Clock;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A sample's file.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub file: &'static str,
    pub text: &'static str,
}

impl Sample {
    pub const ALL: [Self; 3] = [
        Self {
            file: "deployment_advisor.md",
            text: include_str!("../../agents/deployment_advisor.md"),
        },
        Self {
            file: "deployment_advisor.gate.jsonl",
            text: include_str!("../../agents/deployment_advisor.gate.jsonl"),
        },
        Self {
            file: "field_guide.md",
            text: include_str!("../../agents/field_guide.md"),
        },
    ];
}

/// Writes the samples into a folder that is not there yet. One that is there, even empty, is its owner's and left alone.
/// Another server sees the folder with all that is in it or not at all.
pub fn install(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let mut name = folder.as_os_str().to_owned();
    name.push(format!(".{}.new", SystemClock.uuid().simple()));
    let draft = PathBuf::from(name);
    let installed = fill(&draft).and_then(|()| fs::rename(&draft, folder));
    if installed.is_err() {
        // What cannot be taken away does no harm.
        let _ = fs::remove_dir_all(&draft);
    }
    match installed {
        // Another server was quicker.
        Err(_) if folder.is_dir() => Ok(()),
        installed => installed,
    }
}

fn fill(draft: &Path) -> io::Result<()> {
    fs::create_dir_all(draft)?;
    for sample in Sample::ALL {
        fs::write(draft.join(sample.file), sample.text)?;
    }
    Ok(())
}
