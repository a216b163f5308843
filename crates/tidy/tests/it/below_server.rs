//! What only `server` may reach for; everything below receives values.

use crate::assert_none;
use crate::repository::{files, text};

/// Debug builds ask here, once, which seeded fault is on: tests of every crate switch one on, and most have no server.
const EXEMPT: &str = "crates/domain/src/seeded.rs";

const BELOW: [&str; 6] = ["domain", "bus", "engine", "store", "models", "tools"];

/// A call, and where its answer comes from instead.
const CALLS: [(&str, &str); 4] = [
    (
        "env::var",
        "settings arrive as values; only server reads the environment",
    ),
    (
        "env::args",
        "settings arrive as values; only server reads flags",
    ),
    (
        "Uuid::now_v7",
        "new ids come from the Clock port, or a test cannot choose them",
    ),
    (
        "Uuid::new_v4",
        "new ids come from the Clock port, or a test cannot choose them",
    ),
];

fn is_below(file: &str) -> bool {
    let below = BELOW.iter().any(|name| {
        file.strip_prefix("crates/")
            .and_then(|file| file.strip_prefix(name))
            .is_some_and(|file| file.starts_with("/src/"))
    });
    below
        && file != EXEMPT
        && file.ends_with(".rs")
        && !file.ends_with("/tests.rs")
        && !file.contains("/tests/")
}

fn complaints(file: &str, text: &str) -> Vec<String> {
    // Small test modules stand at the end of their file.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    CALLS
        .iter()
        .filter(|(call, _)| code.contains(call))
        .map(|(call, why)| format!("{file}: {call}: {why}"))
        .collect()
}

#[test]
fn settings_and_ids_come_from_above() {
    let complaints: Vec<String> = files()
        .iter()
        .filter(|file| is_below(file))
        .filter_map(|file| Some(complaints(file, &text(file)?)))
        .flatten()
        .collect();
    assert_none(&complaints);
}

#[test]
fn reaching_up_is_found() {
    let reaching = "fn key() { std::env::var(\"KEY\") }";
    assert_eq!(complaints("x", reaching).len(), 1);
    assert_none(&complaints(
        "x",
        &format!("#[cfg(test)]\nmod tests {{ {reaching} }}"),
    ));
    assert!(is_below("crates/store/src/open.rs"));
    for file in [
        "crates/server/src/config.rs",
        "crates/store/tests/it/main.rs",
        "crates/engine/src/run/tests.rs",
    ] {
        assert!(!is_below(file), "{file}");
    }
}
