//! How long a source file may get before it must be split by subject.

use crate::assert_none;
use crate::repository::{files, text};

const LINES_MAX: usize = 500;
const SOURCES: [&str; 4] = ["rs", "ts", "tsx", "py"];

/// Files over the limit with the length that they had when they were let through. The list may only
/// shrink: a listed file may not grow, and leaves the list once it is short enough.
const LONG: [(&str, usize); 0] = [];

/// Tests are long because they are many, which is no reason to split them.
fn is_exempt(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name == "tests.rs" || name.contains(".test.") || file.split('/').any(|folder| folder == "tests")
}

fn is_source(file: &str) -> bool {
    file.rsplit_once('.')
        .is_some_and(|(_, ending)| SOURCES.contains(&ending))
}

fn complaint(file: &str, lines: usize, long: &[(&str, usize)]) -> Option<String> {
    if !is_source(file) || is_exempt(file) {
        return None;
    }
    match long.iter().find(|(listed, _)| *listed == file) {
        Some(_) if lines <= LINES_MAX => Some(format!(
            "{file}: is short now; take it off the list of long files"
        )),
        Some((_, before)) if lines > *before => Some(format!(
            "{file}: a long file may not grow, from {before} to {lines} lines"
        )),
        None if lines > LINES_MAX => Some(format!(
            "{file}: {lines} lines, {LINES_MAX} are allowed; split it by subject"
        )),
        _ => None,
    }
}

#[test]
fn files_are_short() {
    let files = files();
    let mut complaints: Vec<String> = files
        .iter()
        .filter(|file| is_source(file) && !is_exempt(file))
        .filter_map(|file| complaint(file, text(file)?.lines().count(), &LONG))
        .collect();
    for (listed, _) in LONG {
        if !files.iter().any(|file| file == listed) {
            complaints.push(format!(
                "{listed}: is gone; take it off the list of long files"
            ));
        }
    }
    assert_none(&complaints);
}

#[test]
fn long_files_are_found() {
    let long = [("old.rs", 600)];
    for (file, lines, wrong) in [
        ("new.rs", 500, false),
        ("new.rs", 501, true),
        ("new.tsx", 501, true),
        ("new.md", 5000, false),
        ("old.rs", 600, false),
        ("old.rs", 601, true),
        ("old.rs", 400, true),
        ("crates/x/src/run/tests.rs", 900, false),
        ("crates/x/tests/it/run.rs", 900, false),
        ("console/src/run.test.ts", 900, false),
    ] {
        assert_eq!(
            complaint(file, lines, &long).is_some(),
            wrong,
            "{file} {lines}"
        );
    }
}
