//! The rules: look with the tools that list things, change what was asked for, then tell what was found.

use super::arguments;
use super::records::{self, Found};
use super::{HOW_TO_CONNECT, Move};
use domain::message::Role;
use domain::ports::model::{AskedCall, TurnRequest};
use domain::tool::ToolSpec;

const READING_VERBS: [&str; 8] = [
    "list", "get", "find", "search", "show", "read", "count", "current",
];

/// Words that mean a thing without naming it, beside what the tools' names say.
const MEANINGS: [(&str, &[&str]); 3] = [
    (
        "device",
        &[
            "phone",
            "tablet",
            "pixel",
            "iphone",
            "fleet",
            "attention",
            "behind",
            "fit",
            "lab",
        ],
    ),
    ("model", &["fit", "run", "newest", "version", "safe"]),
    (
        "deployment",
        &["deploy", "roll", "fail", "pause", "attention", "progress"],
    ),
];

/// Tools called at once.
const LOOKS_MAX: usize = 3;

pub(super) fn next(request: &TurnRequest) -> Move {
    let asked = last_words(request);
    let lower = asked.to_lowercase();
    let found = records::since_last_user(request);
    let change = change_tool(&request.tools, &lower);
    if found.is_empty() {
        let looks = looks(&request.tools, &lower, change);
        return if looks.is_empty() {
            introduction(&request.tools)
        } else {
            look(&looks)
        };
    }
    if let Some(tool) = change {
        return match found.iter().find(|found| found.tool == tool.name) {
            Some(done) => outcome(done),
            None => make_change(tool, &asked, &lower, &found),
        };
    }
    match details(&request.tools, &lower, &found) {
        Some(call) => Move {
            text: "One of these is what you mean; I look at it more closely.".to_owned(),
            calls: vec![call],
        },
        None => Move {
            text: records::told(&lower, &found),
            calls: Vec::new(),
        },
    }
}

fn last_words(request: &TurnRequest) -> String {
    let mut history = request.messages.iter().rev();
    let user = history.find(|message| message.role == Role::User);
    user.map(|message| message.content.text())
        .unwrap_or_default()
}

fn verb(tool: &ToolSpec) -> &str {
    tool.name.split('_').next().unwrap_or(&tool.name)
}

/// The thing that a tool is about, in the singular: `device` for `list_devices`.
pub(super) fn noun(name: &str) -> &str {
    let noun = name.split_once('_').map_or(name, |(_, noun)| noun);
    noun.strip_suffix('s').unwrap_or(noun)
}

fn is_reader(tool: &ToolSpec) -> bool {
    READING_VERBS.contains(&verb(tool))
}

fn needs_nothing(tool: &ToolSpec) -> bool {
    arguments::required(tool).next().is_none()
}

/// A tool that does what the words ask for. A question asks for nothing to be changed.
fn change_tool<'a>(tools: &'a [ToolSpec], lower: &str) -> Option<&'a ToolSpec> {
    if lower.contains('?') {
        return None;
    }
    let says = |stem: &str| words(lower).any(|word| word == stem);
    tools.iter().filter(|tool| !is_reader(tool)).find(|tool| {
        let verb = verb(tool);
        let stem = verb.strip_suffix('e').unwrap_or(verb);
        let noun = noun(&tool.name);
        let acted = noun.strip_suffix("ment").unwrap_or(noun);
        let does = says(verb) || words(lower).any(|word| word == format!("{stem}ing"));
        let creates = matches!(verb, "create" | "start" | "add")
            && (says(acted)
                || acted == "deploy" && ["roll", "ship", "install"].into_iter().any(says));
        does || creates
    })
}

fn words(lower: &str) -> impl Iterator<Item = &str> {
    lower
        .split(|c: char| !c.is_alphanumeric() && c != '-' && c != '.')
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty())
}

fn mentions(lower: &str, noun: &str) -> bool {
    let meanings = MEANINGS
        .iter()
        .filter(|(thing, _)| *thing == noun)
        .flat_map(|(_, meanings)| *meanings);
    lower.contains(noun)
        || meanings
            .into_iter()
            .any(|meaning| words(lower).any(|word| word.starts_with(meaning)))
}

/// The tools to look with before anything else.
fn looks<'a>(tools: &'a [ToolSpec], lower: &str, change: Option<&ToolSpec>) -> Vec<&'a ToolSpec> {
    let wanted = |tool: &&ToolSpec| {
        let noun = noun(&tool.name);
        let for_change = change.is_some_and(|change| {
            arguments::required(change).any(|name| name.contains(noun))
                || change.name.contains(noun)
        });
        for_change || mentions(lower, noun)
    };
    let readers = || {
        tools
            .iter()
            .filter(|tool| is_reader(tool) && needs_nothing(tool))
    };
    let looks: Vec<&ToolSpec> = readers().filter(wanted).take(LOOKS_MAX).collect();
    if looks.is_empty() && words(lower).any(is_like_an_id) {
        // It is in one of the lists, or nowhere.
        let lists = readers().filter(|tool| verb(tool) == "list");
        return lists.take(LOOKS_MAX).collect();
    }
    looks
}

/// `gemma-3-4b`, `dep-1004`, `qwen2.5`.
fn is_like_an_id(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit()) && word.contains(|c: char| c.is_alphabetic())
}

fn look(tools: &[&ToolSpec]) -> Move {
    let things: Vec<String> = tools
        .iter()
        .map(|tool| format!("the {}s", noun(&tool.name).replace('_', " ")))
        .collect();
    Move {
        text: format!("I look at {}.", joined(&things)),
        calls: tools
            .iter()
            .map(|tool| AskedCall {
                name: tool.name.clone(),
                arguments: "{}".to_owned(),
            })
            .collect(),
    }
}

fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn introduction(tools: &[ToolSpec]) -> Move {
    if tools.is_empty() {
        let text = format!("This agent has no tools that I could show you. {HOW_TO_CONNECT}");
        return Move {
            text,
            calls: Vec::new(),
        };
    }
    let names: Vec<String> = tools
        .iter()
        .map(|tool| format!("`{}`", tool.name))
        .collect();
    Move {
        text: format!(
            "This agent can use {}. Ask about what they list, for instance “Which devices need attention?” or “Which model \
             fits the Pixel 9?”, or ask for a change, and I call them.\n\n{HOW_TO_CONNECT}",
            joined(&names)
        ),
        calls: Vec::new(),
    }
}

fn make_change(tool: &ToolSpec, asked: &str, lower: &str, found: &[Found]) -> Move {
    match arguments::fill(tool, asked, lower, found) {
        Ok(arguments) => Move {
            text: format!(
                "I ask for `{}` with what you named. If it needs approval, a person decides now.",
                tool.name
            ),
            calls: vec![AskedCall {
                name: tool.name.clone(),
                arguments: arguments.to_string(),
            }],
        },
        Err(missing) => Move {
            text: format!(
                "To call `{}` I would need {}, and your words do not tell it. This is what there is:\n\n{}",
                tool.name,
                missing.replace('_', " "),
                records::told(lower, found)
            ),
            calls: Vec::new(),
        },
    }
}

fn outcome(done: &Found) -> Move {
    let text = if done.is_error {
        format!(
            "`{}` was not carried out: {}\n\nNothing was changed by me.",
            done.tool,
            done.message()
        )
    } else {
        format!("`{}` was carried out.\n\n{}", done.tool, done.listed())
    };
    Move {
        text,
        calls: Vec::new(),
    }
}

/// A closer look at the one thing that the words name.
fn details(tools: &[ToolSpec], lower: &str, found: &[Found]) -> Option<AskedCall> {
    for seen in found {
        let noun = noun(&seen.tool);
        let getter = tools.iter().find(|tool| tool.name == format!("get_{noun}"));
        let Some(getter) = getter else { continue };
        if found.iter().any(|found| found.tool == getter.name) {
            return None;
        }
        if records::named(seen.rows.iter(), lower).len() == 1
            && let Ok(arguments) = arguments::fill(getter, lower, lower, found)
        {
            return Some(AskedCall {
                name: getter.name.clone(),
                arguments: arguments.to_string(),
            });
        }
    }
    None
}
