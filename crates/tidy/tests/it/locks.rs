//! Lock files name one registry each, the public one, and one TLS stack.

use crate::assert_none;
use crate::repository::{files, text};

const CARGO: &str = r#"source = "registry+https://github.com/rust-lang/crates.io-index""#;
const NPM: &str = concat!(r#""resolved": "https://registry."#, "npmjs.org/");

/// The TLS stack is rustls on ring. `deny.toml` says the same, but needs a tool to be checked.
const OTHER_TLS: [&str; 5] = [
    "openssl",
    "openssl-sys",
    "native-tls",
    "aws-lc-rs",
    "aws-lc-sys",
];

fn other_tls(lock: &str) -> Vec<String> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .filter(|name| OTHER_TLS.contains(name))
        .map(|name| format!("Cargo.lock: {name}: a second TLS stack; turn the feature off"))
        .collect()
}

fn complaints(file: &str, text: &str) -> Vec<String> {
    let (begins, expected) = if file.ends_with("Cargo.lock") {
        ("source = ", CARGO)
    } else if file.ends_with("package-lock.json") {
        (r#""resolved": ""#, NPM)
    } else {
        return Vec::new();
    };
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with(begins) && !line.starts_with(expected))
        .map(|line| format!("{file}: {line}"))
        .collect()
}

#[test]
fn locks_name_the_public_registry() {
    let complaints: Vec<String> = files()
        .iter()
        .filter_map(|file| Some(complaints(file, &text(file)?)))
        .flatten()
        .collect();
    assert_none(&complaints);
}

#[test]
fn one_tls_stack_is_linked() {
    assert_none(&other_tls(
        &text("Cargo.lock").expect("a lock file is text"),
    ));
}

#[test]
fn other_tls_stacks_are_found() {
    let lock = "[[package]]\nname = \"ring\"\n[[package]]\nname = \"openssl-sys\"\n";
    assert_eq!(other_tls(lock).len(), 1);
}

#[test]
fn other_registries_are_found() {
    let other = r#"source = "git+https://github.com/someone/fork""#;
    assert_eq!(
        complaints("Cargo.lock", &format!("{CARGO}\n{other}")).len(),
        1
    );
    let other = r#"    "resolved": "http://localhost:4873/left-pad","#;
    assert_eq!(
        complaints(
            "console/package-lock.json",
            &format!("    {NPM}x\",\n{other}")
        )
        .len(),
        1
    );
    assert_none(&complaints("notes.md", other));
}
