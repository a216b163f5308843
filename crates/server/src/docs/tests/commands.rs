//! Every command that the documents show exists, with the flags that it is shown with; every address that `curl` is
//! shown with is one of the API's.

use crate::docs::{names, source};
use clap::Command;
use serde_json::Value;
use std::collections::BTreeMap;

/// Documents outside of `docs/` that show commands.
const OTHERS: [(&str, &str); 2] = [
    ("README.md", include_str!("../../../../../README.md")),
    (
        "CONTRIBUTING.md",
        include_str!("../../../../../CONTRIBUTING.md"),
    ),
];

/// Languages of blocks whose lines are typed at a prompt.
const SHELLS: [&str; 3] = ["", "sh", "bash"];

#[test]
fn every_command_in_the_documents_exists() {
    let program = crate::cli::command();
    let api = crate::openapi::document();
    let mut documents: BTreeMap<String, String> = names()
        .into_iter()
        .map(|name| (format!("docs/{name}.md"), source(&name).unwrap()))
        .collect();
    documents.extend(OTHERS.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let (mut checked, mut wrong) = (0, Vec::new());
    for (name, text) in &documents {
        for line in commands(text) {
            let words = words(&line);
            let complaint = match program_of(&words) {
                Some(arguments) => argument_that_is_not_there(&program, arguments),
                None if words.iter().any(|word| word == "curl") => {
                    address_that_is_not_there(&api, &words)
                }
                None => continue,
            };
            checked += 1;
            wrong.extend(complaint.map(|complaint| format!("{name}: `{line}`: {complaint}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 20, "only {checked} commands were found");
}

#[test]
fn wrong_commands_are_found() {
    let program = crate::cli::command();
    let complaint = |line: &str| {
        let words = words(line);
        argument_that_is_not_there(&program, program_of(&words).unwrap())
    };
    for good in [
        "runyard serve --demo",
        "X=1 runyard keys create --name NAME --role developer",
        "cargo run -q -- chat deployment_advisor --thread ID",
        "runyard run AGENT \"some --text\" --json | jq .",
    ] {
        assert_eq!(complaint(good), None, "{good}");
    }
    for bad in ["runyard sevre", "runyard serve --dmeo", "runyard keys mint"] {
        assert!(complaint(bad).is_some(), "{bad}");
    }
    let api = crate::openapi::document();
    let of = |line: &str| address_that_is_not_there(&api, &words(line));
    assert_eq!(
        of("curl -N http://h/api/v1/agents/threads/$T/runs -d '{}'"),
        None
    );
    assert!(of("curl http://h/api/v1/agents/treads").is_some());
    assert!(of("curl -X DELETE http://h/api/v1/agents/threads").is_some());
}

/// Lines typed at a prompt, variables of their block filled in, and commands in running text.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut prose = String::new();
    let mut block: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), &mut block) {
            (Some(language), None) => {
                let language = language.split_whitespace().next().unwrap_or_default();
                block = Some((language.to_owned(), String::new()));
            }
            (Some(_), Some((language, body))) => {
                if SHELLS.contains(&language.as_str()) {
                    found.extend(typed(body));
                }
                block = None;
            }
            (None, Some((_, body))) => body.extend([line, "\n"]),
            (None, None) => prose.extend([line, "\n"]),
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    // An ellipsis stands for whatever comes there.
    found.extend(
        spans
            .filter(|span| span.starts_with("runyard ") && !span.contains('…'))
            .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")),
    );
    found
}

fn typed(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in joined.lines() {
        let mut line = line.trim_start_matches("$ ").to_owned();
        for (name, value) in &variables {
            line = line.replace(&format!("${name}"), value);
        }
        match line.split_once('=') {
            Some((name, value)) if is_name(name) && !value.contains(' ') => {
                variables.insert(name.to_owned(), value.to_owned());
            }
            // What a command in brackets says is a value; the command is one all the same.
            Some((name, value)) if is_name(name) && value.starts_with("$(") => {
                lines.push(value[2..].to_owned());
            }
            _ => lines.push(line),
        }
    }
    lines
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
}

/// The words up to where another command begins, quoted ones whole.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            (' ', None) => words.push(String::new()),
            ('|' | ';' | '>' | '&' | '#', None) => break,
            (other, _) => {
                let last = words.last_mut().expect("there is one always");
                // A quoted dash is text, not a flag.
                if last.is_empty() && quote.is_some() && other == '-' {
                    last.push('x');
                }
                last.push(other);
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What our program is given, if it is the one that runs.
fn program_of(words: &[String]) -> Option<&[String]> {
    let begin = words
        .iter()
        .position(|word| !word.split_once('=').is_some_and(|(name, _)| is_name(name)))?;
    let words = &words[begin..];
    match words.first()?.as_str() {
        "runyard" => Some(&words[1..]),
        "cargo" if words.get(1).is_some_and(|word| word == "run") => {
            let dashes = words.iter().position(|word| word == "--");
            Some(dashes.map_or(&[][..], |at| &words[at + 1..]))
        }
        _ => None,
    }
}

fn argument_that_is_not_there(program: &Command, arguments: &[String]) -> Option<String> {
    let mut here = program;
    for word in arguments {
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or_default();
            let known = here
                .get_arguments()
                .any(|argument| argument.get_long() == Some(flag));
            if !known && !["help", "version"].contains(&flag) {
                return Some(format!("`{}` has no --{flag}", here.get_name()));
            }
        } else if let Some(next) = here.find_subcommand(word) {
            here = next;
        } else if here.has_subcommands() {
            return Some(format!("`{}` has no {word}", here.get_name()));
        }
    }
    None
}

/// A path of the API that no operation has, or not for that method.
fn address_that_is_not_there(api: &Value, words: &[String]) -> Option<String> {
    let (_, path) = words
        .iter()
        .find_map(|word| word.split_once("/api/v1/agents"))?;
    let path = path.split('?').next().unwrap_or_default();
    let path = format!("/api/v1/agents{}", path.trim_end_matches('/'));
    let named = words.iter().position(|word| word == "-X");
    let method = named
        .and_then(|at| words.get(at + 1))
        .map(|method| method.to_lowercase());
    let has_body = words
        .iter()
        .any(|word| ["-d", "--data", "--json"].contains(&word.as_str()));
    let method = method.unwrap_or_else(|| if has_body { "post" } else { "get" }.to_owned());
    let paths = api["paths"].as_object().expect("paths");
    let is_there = paths
        .iter()
        .any(|(known, operations)| fits(known, &path) && operations.get(&method).is_some());
    (!is_there).then(|| format!("no operation is {method} {path}"))
}

fn fits(known: &str, path: &str) -> bool {
    let (known, path) = (known.split('/'), path.split('/'));
    known.clone().count() == path.clone().count()
        && known
            .zip(path)
            .all(|(known, part)| known.starts_with('{') || known == part)
}
