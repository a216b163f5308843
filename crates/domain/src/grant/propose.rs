//! The narrowest grant that would have covered some approved calls: exactly the arguments that they had, and no others.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Approved calls that a proposal is made from.
const SAMPLES_MAX: usize = 20;

/// Values of one argument that are listed; more of them are no pattern.
const VALUES_MAX: usize = 8;

/// Bytes of a predicate.
const PREDICATE_BYTES_MAX: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub predicate: String,
    /// Approvals that it would have made unnecessary.
    pub covers: usize,
}

/// A predicate that holds for every sample, and for nothing that differs from all of them in any one argument. `None`
/// where the samples have no pattern that can be written down.
pub fn propose(samples: &[Map<String, Value>]) -> Option<Proposal> {
    let samples = samples.get(..samples.len().min(SAMPLES_MAX))?;
    if samples.is_empty() {
        return None;
    }
    let names: BTreeSet<&str> = samples
        .iter()
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    let mut terms = vec![no_others(&names)];
    for name in names {
        terms.push(term(name, samples)?);
    }
    let predicate = terms.join(" && ");
    (predicate.len() <= PREDICATE_BYTES_MAX).then_some(Proposal {
        predicate,
        covers: samples.len(),
    })
}

fn no_others(names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return "size(args) == 0".to_owned();
    }
    let names: Vec<String> = names.iter().map(|name| text(name)).collect();
    format!("args.all(name, name in [{}])", names.join(", "))
}

/// What one argument may be.
fn term(name: &str, samples: &[Map<String, Value>]) -> Option<String> {
    let mut values: BTreeMap<String, ()> = BTreeMap::new();
    for value in samples.iter().filter_map(|sample| sample.get(name)) {
        values.insert(literal(value)?, ());
    }
    if values.len() > VALUES_MAX {
        return None;
    }
    let key = text(name);
    let values: Vec<String> = values.into_keys().collect();
    let is = match values.as_slice() {
        [only] => format!("args[{key}] == {only}"),
        several => format!("args[{key}] in [{}]", several.join(", ")),
    };
    if samples.iter().all(|sample| sample.contains_key(name)) {
        return Some(is);
    }
    Some(format!("(!({key} in args) || {is})"))
}

/// A value as CEL spells it; `None` where CEL cannot tell it from others.
fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            // The least integer has no literal: its sign is an operator on a number that is too large.
            (Some(i64::MIN), _) => return None,
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => format!("{number}u"),
            // A fraction that was not written as one reads as an integer.
            (None, None) => format!("{:?}", number.as_f64()?),
        },
        Value::String(value) => text(value),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(literal).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Object(fields) => {
            let fields: Option<Vec<String>> = fields
                .iter()
                .map(|(name, value)| Some(format!("{}: {}", text(name), literal(value)?)))
                .collect();
            format!("{{{}}}", fields?.join(", "))
        }
    })
}

/// A string literal; everything that is not plain is escaped, so that what is shown is what is meant.
fn text(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                literal.push('\\');
                literal.push(character);
            }
            ' '..='~' => literal.push(character),
            other if u32::from(other) <= 0xffff => {
                let _ = write!(literal, "\\u{:04x}", u32::from(other));
            }
            other => {
                let _ = write!(literal, "\\U{:08x}", u32::from(other));
            }
        }
    }
    literal.push('"');
    literal
}
