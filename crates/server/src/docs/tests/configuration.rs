//! The reference of the configuration lists what the program reads, no more and no less.

use crate::docs::source;
use std::collections::BTreeSet;

/// The sources of the settings, in which their variables stand as texts.
const SETTINGS: [&str; 2] = [
    include_str!("../../config.rs"),
    include_str!("../../config/layers.rs"),
];

/// The cells of the table under a heading.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let below = text.split(heading).nth(1).expect("the heading is there");
    let rows = below
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What stands in backticks at a cell's beginning, without its value.
fn name(cell: &str) -> Option<String> {
    let text = cell.strip_prefix('`')?.split('`').next()?;
    text.split(' ').next().map(str::to_owned)
}

fn column(rows: &[Vec<String>], place: usize) -> BTreeSet<String> {
    rows.iter()
        .filter_map(|row| name(row.get(place)?))
        .collect()
}

#[test]
fn every_flag_of_the_server_is_documented() {
    let text = source("configuration").expect("the page is there");
    let rows = table(&text, "\n## The server\n");
    let program = crate::cli::command();
    let serve = program.find_subcommand("serve").expect("it serves");
    let flags: BTreeSet<String> = serve
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|flag| !["demo", "help"].contains(flag))
        .map(|flag| format!("--{flag}"))
        .collect();
    assert_eq!(column(&rows, 0), flags);
}

#[test]
fn every_variable_of_the_settings_is_documented() {
    let text = source("configuration").expect("the page is there");
    let variables: BTreeSet<String> = SETTINGS
        .iter()
        .flat_map(|source| source.split("\"RUNYARD_").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .map(|name| format!("RUNYARD_{name}"))
        .collect();
    let missing: Vec<&String> = variables
        .iter()
        .filter(|variable| !text.contains(&format!("`{variable}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
    let documented = column(&table(&text, "\n## The server\n"), 1);
    let unknown: Vec<&String> = documented.difference(&variables).collect();
    assert!(unknown.is_empty(), "nothing reads {unknown:?}");
}

/// A key that no table has, in each table of the file; `~` stands for it.
const TABLES: [(&str, &str); 14] = [
    ("", "~ = 1"),
    ("log", "[log]\n~ = 1"),
    ("lanes", "[[lanes]]\nname = \"l\"\nkind = \"local\"\n~ = 1"),
    ("orgs", "[orgs.a]\n~ = 1"),
    ("router", "[router]\n~ = 1"),
    ("tools", "[tools.t]\nkind = \"sql\"\n~ = 1"),
    ("databases", "[databases.d]\nurl = \"x\"\n~ = 1"),
    ("mcp", "[mcp.m]\n~ = 1"),
    ("openapi", "[openapi.o]\ndocument = \"d\"\n~ = 1"),
    ("egress", "[egress]\n~ = 1"),
    ("policy", "[policy]\n~ = 1"),
    ("budget", "[policy.budget]\n~ = 1"),
    ("approvals", "[approvals]\n~ = 1"),
    ("webhooks", "[[webhooks]]\n~ = 1"),
];

/// The parser knows what it expects, and says so of a key that it does not know.
fn keys_beside(table: &str) -> Vec<String> {
    let text = table.replace('~', "no_such_key");
    let error = match toml::from_str::<crate::config::file::Tables>(&text) {
        Ok(_) => panic!("a key that does not exist is taken: {text}"),
        Err(error) => error.to_string(),
    };
    let (_, expected) = error
        .split_once("expected ")
        .unwrap_or_else(|| panic!("{text}: {error}"));
    let names = expected.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn every_key_of_the_file_is_documented() {
    let pages: String = ["configuration", "approvals", "policies", "tools", "lanes"]
        .iter()
        .map(|name| source(name).expect("the page is there"))
        .collect();
    // Code in running text, and blocks of it.
    let code: BTreeSet<&str> = pages
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    let mut missing = Vec::new();
    let mut count = 0;
    for (table, text) in TABLES {
        let keys = keys_beside(text);
        count += keys.len();
        let unsaid = keys.iter().filter(|key| !code.contains(key.as_str()));
        missing.extend(unsaid.map(|key| format!("{table} {key}")));
    }
    assert!(
        missing.is_empty(),
        "keys that no page tells of: {missing:#?}"
    );
    assert!(count > 80, "only {count} keys were found");
}

/// What the documents show of the configuration is taken as it stands.
#[test]
fn every_example_of_the_file_is_read() {
    let mut count = 0;
    for name in crate::docs::names() {
        let text = source(&name).expect("the page is there");
        for block in text.split("```toml\n").skip(1) {
            let example = block.split("```").next().unwrap_or_default();
            count += 1;
            if let Err(error) = toml::from_str::<crate::config::file::Tables>(example) {
                panic!("{name}.md: {error}\n{example}");
            }
        }
    }
    assert!(count > 5, "only {count} examples were found");
}
