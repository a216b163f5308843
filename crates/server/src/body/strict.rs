//! What JSON may not hold here although it is JSON: a key twice, depth over 64, U+0000. Two readers of a body with a key
//! twice may see two different values, and a decision about one would release the other.

use crate::problem::{Code, Problem};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

/// Arrays and objects inside one another.
pub const DEPTH_MAX: usize = 64;

/// Keys of one object that are compared one by one before a set pays.
const FEW_KEYS: usize = 16;

/// Passes JSON that is strict; nothing is kept of it.
pub fn check(text: &str) -> Result<(), Problem> {
    let found = Cell::new(None);
    let walk = Walk {
        depth: 0,
        found: &found,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let walked = walk.deserialize(&mut reader).and_then(|()| reader.end());
    match (walked, found.take()) {
        (Ok(()), _) => Ok(()),
        (Err(error), Some(code)) => {
            let place = format!("line {} column {}", error.line(), error.column());
            let title = code.title().trim_end_matches('.');
            Err(Problem::saying(code, format!("{title}: {place}.")))
        }
        (Err(error), None) => {
            let message = format!("The body is not valid JSON: {error}.");
            Err(Problem::saying(Code::invalid_json, message))
        }
    }
}

#[derive(Clone, Copy)]
struct Walk<'f> {
    depth: usize,
    found: &'f Cell<Option<Code>>,
}

impl Walk<'_> {
    fn refuse<E: Error>(self, code: Code) -> E {
        self.found.set(Some(code));
        E::custom(code.as_str())
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(self.refuse(Code::nesting_too_deep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if text.as_bytes().contains(&0) {
            return Err(self.refuse(Code::null_character));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut keys = Keys::default();
        while let Some(key) = map.next_key::<String>()? {
            if key.as_bytes().contains(&0) {
                return Err(self.refuse(Code::null_character));
            }
            if !keys.insert(key) {
                return Err(self.refuse(Code::duplicate_key));
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Keys {
    few: Vec<String>,
    many: HashSet<String>,
}

impl Keys {
    /// False if the key was there.
    fn insert(&mut self, key: String) -> bool {
        if self.few.contains(&key) || self.many.contains(&key) {
            return false;
        }
        if self.few.len() < FEW_KEYS {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        true
    }
}
