//! Reads a call's arguments strictly: what two readers could understand differently is refused, because a person
//! approves what one reader shows and the tool does what another reads. It does not know schemas.

use crate::limits::{ARGUMENT_BYTES_MAX, ARGUMENT_DEPTH_MAX};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The text is not an object that every reader understands alike.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    #[error("the arguments have {bytes} bytes; {ARGUMENT_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error("the arguments are not JSON that can be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the arguments must be a JSON object, not {found}")]
    NotAnObject { found: &'static str },
    #[error("the number {number} cannot be kept exactly; send it as a string")]
    Lossy { number: String },
}

/// The object that `text` holds. Text with nothing but white space counts as `{}`, since models send it for tools
/// without arguments. Refused: keys that stand twice in one object, more than `ARGUMENT_DEPTH_MAX` levels, numbers
/// that would change by being read, and U+0000, which no database takes as text.
pub fn parse(text: &str) -> Result<Map<String, Value>, ArgumentError> {
    if text.len() > ARGUMENT_BYTES_MAX {
        return Err(ArgumentError::TooLong { bytes: text.len() });
    }
    if text.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    if let Some(number) = numbers(text).find(|number| !is_exact(number)) {
        return Err(ArgumentError::Lossy {
            number: number.chars().take(40).collect(),
        });
    }
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Err(ArgumentError::NotAnObject { found: "null" }),
        Value::Bool(_) => Err(ArgumentError::NotAnObject { found: "a boolean" }),
        Value::Number(_) => Err(ArgumentError::NotAnObject { found: "a number" }),
        Value::String(_) => Err(ArgumentError::NotAnObject { found: "a string" }),
        Value::Array(_) => Err(ArgumentError::NotAnObject { found: "an array" }),
    }
}

/// Levels of objects and arrays: 0 for a scalar, 1 for `{}`.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// How many values there are, containers among them.
pub(crate) fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(values).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Builds a `Value` and refuses what `Value`'s own reader lets pass.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth >= ARGUMENT_DEPTH_MAX {
            return Err(E::custom(format_args!(
                "more than {ARGUMENT_DEPTH_MAX} levels of nesting"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        whole(&text)?;
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            whole(&key)?;
            if map.contains_key(&key) {
                let key: String = key.chars().take(40).collect();
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} stands twice"
                )));
            }
            let value = entries.next_value_seed(below)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

fn whole<E: Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') {
        return Err(E::custom("a text holds U+0000"));
    }
    Ok(())
}

/// The numbers of valid JSON, as they are written.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            match bytes[at] {
                b'"' => at = after_string(bytes, at),
                b'-' | b'0'..=b'9' => {
                    let begin = at;
                    while at < bytes.len()
                        && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
                    {
                        at += 1;
                    }
                    return Some(&json[begin..at]);
                }
                _ => at += 1,
            }
        }
        None
    })
}

/// The index behind a string's closing quote.
fn after_string(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Whether the number, read and written again, is the same number.
pub(crate) fn is_exact(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    let Ok(value) = number.parse::<f64>() else {
        return false;
    };
    if !value.is_finite() {
        return false;
    }
    decimal(number).is_some_and(|written| decimal(&format!("{value:e}")) == Some(written))
}

/// A decimal's digits without leading and trailing zeros, and the power of ten that they are multiplied by.
fn decimal(number: &str) -> Option<(String, i64)> {
    let number = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Some((String::new(), 0));
    }
    let fraction = i64::try_from(fraction.len()).ok()?;
    let power = exponent.checked_sub(fraction)?.checked_add(dropped)?;
    Some((kept.to_owned(), power))
}

#[cfg(test)]
mod tests;
