//! What tools answered, read as lists of things and told in a few lines.

use super::rules::noun;
use domain::message::Role;
use domain::ports::model::TurnRequest;
use serde_json::{Map, Value};
use std::collections::HashMap;

pub(super) type Row = Map<String, Value>;

const CAUTION: &str = "That is what the tools say; a real model would weigh it for you.";

/// Lines of one list.
const LINES_MAX: usize = 8;
/// Details of one thing.
const DETAILS_MAX: usize = 4;

const LABELS: [&str; 6] = ["name", "title", "label", "id", "model", "device"];
/// What is told of a thing before its other details.
const TELLING: [&str; 10] = [
    "status",
    "model_id",
    "device_group",
    "environment",
    "percent",
    "platform",
    "memory_mb",
    "min_memory_mb",
    "framework",
    "last_seen_at",
];
const BAD: [&str; 12] = [
    "fail",
    "error",
    "degraded",
    "offline",
    "stalled",
    "paused",
    "unhealthy",
    "outdated",
    "behind",
    "low",
    "lost",
    "rolled back",
];
const TROUBLE: [&str; 8] = [
    "attention",
    "fail",
    "behind",
    "wrong",
    "trouble",
    "problem",
    "safe",
    "why",
];

/// The answer of one call.
#[derive(Debug)]
pub(super) struct Found {
    pub tool: String,
    pub is_error: bool,
    pub rows: Vec<Row>,
    content: String,
}

/// The results since the user spoke last, in order.
pub(super) fn since_last_user(request: &TurnRequest) -> Vec<Found> {
    let messages = &request.messages;
    let start = messages.after_last(|message| message.role == Role::User);
    let loop_: Vec<_> = messages.range(start..messages.len()).collect();
    let names: HashMap<&str, &str> = loop_
        .iter()
        .flat_map(|message| &message.tool_calls)
        .map(|call| (call.id.as_str(), call.name.as_str()))
        .collect();
    let results = loop_.iter().filter(|message| message.role == Role::Tool);
    results
        .map(|message| {
            let id = message.tool_call_id.as_ref();
            let tool = id.and_then(|id| names.get(id.as_str()));
            let content = message.content.text();
            Found {
                tool: tool.copied().unwrap_or("the tool").to_owned(),
                is_error: message.is_error,
                rows: rows(unwrapped(
                    serde_json::from_str(&content).unwrap_or_default(),
                )),
                content,
            }
        })
        .collect()
}

/// What the tool said, without what the gateway says about the call: `{"tool": …, "result": …}`.
fn unwrapped(mut value: Value) -> Value {
    match value.get_mut("result").map(Value::take) {
        Some(result) if value["tool"].is_string() => result,
        Some(result) => {
            value["result"] = result;
            value
        }
        None => value,
    }
}

/// The objects of a result: a list, a list in a field, or the one object.
fn rows(value: Value) -> Vec<Row> {
    let objects = |list: Vec<Value>| -> Vec<Row> {
        list.into_iter()
            .filter_map(|value| match value {
                Value::Object(row) => Some(row),
                _ => None,
            })
            .collect()
    };
    match value {
        Value::Array(list) => objects(list),
        Value::Object(mut fields) => {
            let list = fields.iter().find(|(_, value)| value.is_array());
            let list = list.map(|(name, _)| name.clone());
            match list.and_then(|name| fields.remove(&name)) {
                Some(Value::Array(list)) if list.is_empty() || list[0].is_object() => objects(list),
                _ => vec![fields],
            }
        }
        _ => Vec::new(),
    }
}

impl Found {
    /// What an error says for itself.
    pub(super) fn message(&self) -> String {
        let value: Value = serde_json::from_str(&self.content).unwrap_or_default();
        let fields = ["error", "message", "detail", "reason"];
        let told = fields.iter().find_map(|field| value[*field].as_str());
        told.unwrap_or(&self.content).to_owned()
    }

    pub(super) fn listed(&self) -> String {
        if self.rows.is_empty() {
            return self.content.clone();
        }
        let lines: Vec<String> = self.rows.iter().take(LINES_MAX).map(line).collect();
        let more = self.rows.len().saturating_sub(LINES_MAX);
        let rest = if more > 0 {
            format!("\n- … and {more} more")
        } else {
            String::new()
        };
        format!("{}{rest}", lines.join("\n"))
    }
}

pub(super) fn label(row: &Row) -> String {
    let named = LABELS.iter().find_map(|field| row.get(*field));
    let id = row
        .iter()
        .find(|(field, _)| field.ends_with("_id"))
        .map(|(_, value)| value);
    named.or(id).map(plain).unwrap_or_default()
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn line(row: &Row) -> String {
    let label = label(row);
    let telling = TELLING.iter().filter_map(|field| row.get_key_value(*field));
    let others = row
        .iter()
        .filter(|(field, _)| !TELLING.contains(&field.as_str()));
    let details: Vec<String> = telling
        .chain(others)
        .filter(|(_, value)| !value.is_object() && !value.is_array() && !value.is_null())
        .filter(|(_, value)| plain(value) != label)
        .take(DETAILS_MAX)
        .map(|(field, value)| format!("{} {}", field.replace('_', " "), plain(value)))
        .collect();
    format!("- {label}: {}", details.join(", "))
}

fn tokens(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// How well words name something: how many parts of the name, from its beginning, stand in them side by side, and
/// whether those are all. One part alone must be the whole name or long enough not to stand there by chance.
pub(super) fn naming(words: &str, name: &str) -> Option<(bool, usize)> {
    let (words, name) = (tokens(words), tokens(name));
    let longest = (1..=name.len())
        .rev()
        .find(|length| words.windows(*length).any(|part| *part == name[..*length]))?;
    let whole = longest == name.len();
    (whole || longest >= 2 || name[0].len() >= 5).then_some((whole, longest))
}

/// The things that the words name, those only that they name best.
pub(super) fn named<'a>(rows: impl Iterator<Item = &'a Row>, words: &str) -> Vec<&'a Row> {
    let mut best = None;
    let mut named = Vec::new();
    for row in rows {
        let names = ["name", "id", "title", "label", "slug"];
        let names = names.iter().filter_map(|field| row.get(*field)?.as_str());
        let score = names.filter_map(|name| naming(words, name)).max();
        if score.is_some() && score >= best {
            if score > best {
                named.clear();
                best = score;
            }
            named.push(row);
        }
    }
    named
}

pub(super) fn is_in_trouble(row: &Row) -> bool {
    row.values().filter_map(Value::as_str).any(|value| {
        let value = value.to_lowercase();
        value.len() <= 40 && BAD.iter().any(|bad| value.starts_with(bad))
    })
}

/// The day on which a thing was seen last.
fn seen_on(row: &Row) -> Option<&str> {
    let (_, seen) = row
        .iter()
        .find(|(field, _)| field.starts_with("last_seen"))?;
    seen.as_str()?.get(..10)
}

/// Things in trouble, and those that were not seen on the last day that any was.
fn ill(rows: &[Row]) -> Vec<&Row> {
    let last = rows.iter().filter_map(seen_on).max();
    let is_lost = |row: &&Row| seen_on(row).is_some_and(|day| Some(day) < last);
    rows.iter()
        .filter(|row| is_in_trouble(row) || is_lost(row))
        .collect()
}

/// Everything that was found, what the words ask for first.
pub(super) fn told(lower: &str, found: &[Found]) -> String {
    if let Some(fits) = fitting(lower, found) {
        return format!("{fits}\n\n{CAUTION}");
    }
    let mut parts = Vec::new();
    let asks_for_trouble = TROUBLE.iter().any(|word| lower.contains(word));
    for found in found {
        let thing = noun(&found.tool).replace('_', " ");
        if found.is_error {
            parts.push(format!("`{}` failed: {}", found.tool, found.message()));
            continue;
        }
        let count = found.rows.len();
        let ill = ill(&found.rows);
        if asks_for_trouble && !ill.is_empty() {
            let lines: Vec<String> = ill.into_iter().take(LINES_MAX).map(line).collect();
            let lines = lines.join("\n");
            parts.push(format!(
                "{count} {thing}s, of which these need attention:\n{lines}"
            ));
            continue;
        }
        parts.push(match count {
            0 => format!("`{}` answered: {}", found.tool, found.content),
            1 => format!("The {thing}:\n{}", found.listed()),
            count => format!("{count} {thing}s:\n{}", found.listed()),
        });
    }
    parts.push(CAUTION.to_owned());
    parts.join("\n\n")
}

/// Which models fit the memory of the named devices.
fn fitting(lower: &str, found: &[Found]) -> Option<String> {
    if !lower.contains("fit") && !lower.contains("run") {
        return None;
    }
    let rows = |thing: &'static str| {
        let found = found.iter().filter(move |found| noun(&found.tool) == thing);
        found.flat_map(|found| &found.rows)
    };
    let device = *named(rows("device"), lower).first()?;
    let room = memory(device)?;
    let mut fit: Vec<(f64, String)> = rows("model")
        .filter_map(|row| Some((memory(row)?, label(row))))
        .filter(|(needs, _)| *needs <= room)
        .collect();
    fit.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let device = label(device);
    let Some((_, largest)) = fit.first() else {
        return Some(format!(
            "By its memory, {device} can run none of the models."
        ));
    };
    let all: Vec<&str> = fit.iter().map(|(_, name)| name.as_str()).collect();
    Some(format!(
        "{device} has {room:.0} MB of memory. The largest model that fits is {largest}; all that fit: {}.",
        all.join(", ")
    ))
}

/// Memory in megabytes, from a field whose name says that and its unit.
fn memory(row: &Row) -> Option<f64> {
    let says = |field: &str| {
        let mut words = field.split('_');
        words.any(|word| matches!(word, "memory" | "mem" | "ram"))
    };
    let (field, amount) = row
        .iter()
        .filter(|(field, _)| says(field))
        .find_map(|(field, value)| Some((field, value.as_f64()?)))?;
    Some(if field.ends_with("gb") {
        amount * 1_024.0
    } else if field.ends_with("bytes") {
        amount / 1_048_576.0
    } else {
        amount
    })
}
