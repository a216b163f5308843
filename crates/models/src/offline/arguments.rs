//! Arguments for a tool, filled from what was found and what was said. Nothing is made up: what neither tells is
//! missing.

use super::records::{self, Found, Row};
use super::rules::noun;
use domain::tool::ToolSpec;
use serde_json::{Map, Value};

/// Choices that do the least harm, where one must be made and none was named.
const CAUTIOUS: [&str; 5] = ["development", "staging", "test", "canary", "beta"];

pub(super) fn required(tool: &ToolSpec) -> impl Iterator<Item = &str> {
    let names = tool.input_schema.get("required");
    let names = names.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str)
}

/// The arguments, or the name of one that is required and cannot be told.
pub(super) fn fill(
    tool: &ToolSpec,
    asked: &str,
    lower: &str,
    found: &[Found],
) -> Result<Value, String> {
    let mut arguments = Map::new();
    let nothing = Map::new();
    let properties = tool.input_schema.get("properties");
    let properties = properties.and_then(Value::as_object).unwrap_or(&nothing);
    let must: Vec<&str> = required(tool).collect();
    for (name, schema) in properties {
        let is_required = must.contains(&name.as_str());
        match value(name, schema, is_required, (asked, lower), found) {
            Some(value) => {
                arguments.insert(name.clone(), value);
            }
            None if is_required => match schema.get("default") {
                Some(default) => {
                    arguments.insert(name.clone(), default.clone());
                }
                None => return Err(name.clone()),
            },
            None => {}
        }
    }
    Ok(Value::Object(arguments))
}

fn value(
    name: &str,
    schema: &Value,
    is_required: bool,
    (asked, lower): (&str, &str),
    found: &[Found],
) -> Option<Value> {
    if let Some(choices) = schema["enum"].as_array() {
        let said = |choice: &&Value| {
            let choice = choice.as_str().unwrap_or_default().to_lowercase();
            !choice.is_empty() && lower.contains(&choice.replace(['-', '_'], " "))
        };
        let mut cautious = CAUTIOUS.iter();
        let careful =
            cautious.find_map(|word| choices.iter().find(|choice| choice.as_str() == Some(*word)));
        let careful = careful.filter(|_| is_required);
        return choices.iter().find(said).or(careful).cloned();
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => number(name, schema, is_required, lower, found),
        Some("array") => {
            let one = value(
                singular(name),
                &schema["items"],
                is_required,
                (asked, lower),
                found,
            )?;
            Some(Value::Array(vec![one]))
        }
        Some("string") | None => text(name, asked, lower, found),
        Some(_) => None,
    }
}

fn singular(name: &str) -> &str {
    name.strip_suffix('s').unwrap_or(name)
}

/// A share of the fleet (`percent`) as said, the smallest that the schema allows if there must be one; ids as found.
fn number(
    name: &str,
    schema: &Value,
    is_required: bool,
    lower: &str,
    found: &[Found],
) -> Option<Value> {
    if name.contains("percent") {
        let said = lower.split_once('%').map(|(before, _)| before);
        let digits =
            said.and_then(|before| before.split(|c: char| !c.is_ascii_digit()).next_back());
        let said = digits.and_then(|digits| digits.parse::<u64>().ok());
        let least = schema["minimum"].as_u64().unwrap_or(1).max(1);
        let said = said.or(Some(least).filter(|_| is_required));
        return said.map(Value::from);
    }
    from_row(name, lower, found).filter(Value::is_number)
}

fn text(name: &str, asked: &str, lower: &str, found: &[Found]) -> Option<Value> {
    if ["reason", "note", "comment", "why", "description"].contains(&name) {
        let words: String = asked.chars().take(200).collect();
        return Some(Value::from(format!(
            "Asked for in the conversation: {words}"
        )));
    }
    let found = from_row(name, lower, found).filter(Value::is_string);
    found.or_else(|| quoted(asked).map(Value::from))
}

/// The field of the thing that the words name: `model_id` is the `id` of the named model. Where none is named, the one
/// that fails is meant if the words are about failing. Of two that are named alike, neither is meant.
fn from_row(name: &str, lower: &str, found: &[Found]) -> Option<Value> {
    let (thing, key) = match name.rsplit_once('_') {
        Some((thing, key @ ("id" | "name" | "version"))) => (thing, key),
        _ => (name, "id"),
    };
    let of_thing = |found: &&Found| noun(&found.tool) == thing;
    let rows = || found.iter().filter(of_thing).flat_map(|found| &found.rows);
    let field = |row: &Row| row.get(name).or_else(|| row.get(key)).cloned();
    match records::named(rows(), lower)[..] {
        [row] => return field(row),
        [] => {}
        [_, _, ..] => return None,
    }
    let fails = |row: &&Row| {
        let mut values = row.values().filter_map(Value::as_str);
        lower.contains("fail") && values.any(|value| value.starts_with("fail"))
    };
    if let Some(row) = rows().find(fails) {
        return field(row);
    }
    // What things belong to has no list of its own: `device_group` stands in the devices.
    let every = found.iter().flat_map(|found| &found.rows);
    let values = every.filter_map(|row| row.get(name));
    values
        .filter_map(|value| Some((records::naming(lower, value.as_str()?)?, value)))
        .max_by_key(|(score, _)| *score)
        .map(|(_, value)| value.clone())
}

/// What stands in quotes, or the one word that looks like an id.
fn quoted(asked: &str) -> Option<String> {
    for (open, close) in [('"', '"'), ('`', '`'), ('“', '”')] {
        if let Some((_, rest)) = asked.split_once(open)
            && let Some((inside, _)) = rest.split_once(close)
        {
            return Some(inside.to_owned());
        }
    }
    None
}
