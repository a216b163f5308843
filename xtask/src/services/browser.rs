//! Finds the browser that the console's tests drive.

use crate::places;
use std::env;
use std::path::{Path, PathBuf};

/// Programs that speak the protocol which the tests need, the one that Debian has first.
const PROGRAMS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Where macOS has them.
const APPLICATIONS: [&str; 2] = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// The browser that `CHROMIUM` names, else the first that is installed.
pub fn chromium() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return Some(PathBuf::from(named));
    }
    let application = || {
        let mut places = APPLICATIONS.iter().map(Path::new);
        places.find(|path| path.is_file()).map(Path::to_owned)
    };
    PROGRAMS
        .iter()
        .find_map(|program| places::find_program(program))
        .or_else(application)
}
