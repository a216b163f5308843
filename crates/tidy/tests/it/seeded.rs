//! The seeded faults and the page that lists them say the same, and each stands somewhere in the code.

use crate::assert_none;
use crate::repository::{files, text};
use std::collections::BTreeSet;

const LIST: &str = "crates/domain/src/seeded.rs";
const PAGE: &str = "docs/seeded-faults.md";

/// Fewer would prove little.
const FAULTS_MIN: usize = 30;

#[derive(Debug, PartialEq, Eq)]
struct Fault {
    name: String,
    mistake: String,
}

/// The faults of the list with their Rust names: a line of documentation, and `Fault = "name",` below it.
fn listed(list: &str) -> Vec<(String, Fault)> {
    let lines: Vec<&str> = list.lines().map(str::trim).collect();
    let fault = |pair: &[&str]| {
        let mistake = pair[0].strip_prefix("/// ")?.to_owned();
        let (rust, name) = pair[1].strip_suffix("\",")?.split_once(" = \"")?;
        let name = name.to_owned();
        Some((rust.to_owned(), Fault { name, mistake }))
    };
    lines.windows(2).filter_map(fault).collect()
}

/// The faults of the page, and the tests that are named beside each.
fn told(page: &str) -> Vec<(Fault, Vec<String>)> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let fault = Fault {
            name: columns[1].trim_matches('`').to_owned(),
            mistake: columns[2].to_owned(),
        };
        let tests = columns[4].split('`').skip(1).step_by(2);
        (fault, tests.map(str::to_owned).collect())
    })
    .collect()
}

/// Everything that Rust files say, but for the list itself.
fn code() -> String {
    let files = files();
    let rust = files
        .iter()
        .filter(|file| file.ends_with(".rs") && *file != LIST);
    rust.filter_map(|file| text(file)).collect()
}

#[test]
fn page_has_every_fault_in_the_lists_order() {
    let listed: Vec<Fault> = listed(&text(LIST).expect("the list is text"))
        .into_iter()
        .map(|(_, fault)| fault)
        .collect();
    let told: Vec<Fault> = told(&text(PAGE).expect("the page is text"))
        .into_iter()
        .map(|(fault, _)| fault)
        .collect();
    assert_eq!(listed, told);
    assert!(listed.len() >= FAULTS_MIN, "{}", listed.len());
    let names: BTreeSet<&str> = listed.iter().map(|fault| fault.name.as_str()).collect();
    assert_eq!(names.len(), listed.len(), "two faults have one name");
}

#[test]
fn every_fault_stands_in_the_code_and_its_tests_exist() {
    let code = code();
    let places = listed(&text(LIST).expect("the list is text"))
        .into_iter()
        .map(|(rust, _)| format!("Seeded::{rust}.is_on()"))
        .filter(|place| !code.contains(place.as_str()))
        .map(|place| format!("{LIST}: nothing asks {place}"));
    let mut complaints: Vec<String> = places.collect();
    for (fault, tests) in told(&text(PAGE).expect("the page is text")) {
        for test in tests {
            let name = test.rsplit("::").next().unwrap_or_default();
            if !code.contains(&format!("fn {name}(")) {
                complaints.push(format!("{PAGE}: {}: there is no test {test}", fault.name));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn lists_and_pages_are_read() {
    let list = "    /// One is told twice.\n    ToldTwice = \"told-twice\",\n";
    let page = "| `told-twice` | One is told twice. | Harm. | `a it b::c`, `d lib e` |\n";
    let (rust, listed) = listed(list).remove(0);
    let (told, tests) = told(page).remove(0);
    assert_eq!((rust.as_str(), &listed), ("ToldTwice", &told));
    assert_eq!(tests, ["a it b::c", "d lib e"]);
}
