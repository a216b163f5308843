//! Words and file names that must not be committed.

use crate::assert_none;
use crate::repository::{files, text};

/// How a word must stand to count.
#[derive(Clone, Copy)]
enum Stands {
    Anywhere,
    /// Not as a part of a longer word.
    Alone,
    /// At the beginning of a path.
    First,
}
use Stands::{Alone, Anywhere, First};

/// Written in two halves, or this file would be the first to be found.
const WORDS: [(&str, Stands, &str); 11] = [
    (
        concat!("TO", "DO"),
        Alone,
        "do it, or write it down where work is planned",
    ),
    (concat!("FIX", "ME"), Alone, "mend it"),
    (
        concat!("#[", "ignore"),
        Anywhere,
        "a test runs or does not exist",
    ),
    (
        concat!("../", "shared"),
        Anywhere,
        "the repository stands alone",
    ),
    (concat!("/wo", "rk/"), First, "a path of one machine"),
    (concat!("/ro", "ot/"), First, "a path of one machine"),
    (concat!("static.", "crates.io"), Anywhere, REGISTRY),
    (concat!("index.", "crates.io"), Anywhere, REGISTRY),
    (concat!("registry.", "npmjs.org"), Anywhere, REGISTRY),
    (concat!("pypi", ".org"), Anywhere, REGISTRY),
    (concat!("proxy.", "golang.org"), Anywhere, REGISTRY),
];
const REGISTRY: &str = "which registry is used is each machine's own setting";

/// Lock files name their registry by nature; `locks.rs` reads them.
const LOCKS: [&str; 3] = ["Cargo.lock", "package-lock.json", "uv.lock"];

fn complaints(file: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, stands, why) in WORDS {
            if line
                .match_indices(word)
                .any(|(at, _)| counts(line, at, word, stands))
            {
                complaints.push(format!("{file}:{}: {word}: {why}", number + 1));
            }
        }
    }
    complaints
}

fn counts(line: &str, at: usize, word: &str, stands: Stands) -> bool {
    let in_word =
        |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || next == '_');
    let before = line[..at].chars().next_back();
    let after = line[at + word.len()..].chars().next();
    match stands {
        Anywhere => true,
        Alone => !in_word(before) && !in_word(after),
        First => !in_word(before) && before != Some('.'),
    }
}

#[test]
fn forbidden_words_are_absent() {
    let complaints: Vec<String> = files()
        .iter()
        .filter(|file| !LOCKS.iter().any(|lock| file.ends_with(lock)))
        .filter_map(|file| Some(complaints(file, &text(file)?)))
        .flatten()
        .collect();
    assert_none(&complaints);
}

#[test]
fn forbidden_words_are_found() {
    for (word, _, _) in WORDS {
        assert_eq!(
            complaints("x", &format!("a\n// {word} b")).len(),
            1,
            "{word}"
        );
    }
}

#[test]
fn longer_words_are_let_pass() {
    let longer = [
        concat!("MASTO", "DON"),
        concat!("TO", "DO_LIST"),
        concat!("https://example.com/home", "/wo", "rk/"),
        concat!("./wo", "rk/"),
    ];
    for line in longer {
        assert_none(&complaints("x", line));
    }
}

#[test]
fn modules_are_files_beside_their_folder() {
    let complaints: Vec<String> = files()
        .iter()
        .filter(|file| file.ends_with("/mod.rs"))
        .map(|file| format!("{file}: a module `foo` is `foo.rs` beside `foo/`"))
        .collect();
    assert_none(&complaints);
}
