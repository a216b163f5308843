//! A tool's input schema, compiled once: arguments are checked in bounded time, whoever wrote the schema.
//! It fetches nothing: a reference may only lead to another place of the same schema.

mod bounds;

use crate::arguments::{depth, values};
use crate::limits;
use bounds::Bounds;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt;

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("it must be of `type = \"object\"`, since arguments are an object")]
    NotAnObject,
    #[error("it has {bytes} bytes; {max} are allowed", max = limits::SCHEMA_BYTES_MAX)]
    TooLong { bytes: usize },
    #[error("it nests or refers deeper than {max} levels", max = limits::SCHEMA_DEPTH_MAX)]
    TooDeep,
    #[error("`$ref` may only name a place in the same schema (`#/…`), not `{reference}`")]
    ForeignReference { reference: String },
    #[error("`$ref` names `{reference}`, which is not there")]
    DanglingReference { reference: String },
    #[error("`{keyword}` is not supported")]
    Unsupported { keyword: &'static str },
    #[error(
        "`{reference}` refers to itself without an argument in between, so checking would never end"
    )]
    Endless { reference: String },
    #[error("its references multiply to more than {max} rules", max = limits::SCHEMA_EXPANDED_MAX)]
    TooLarge,
    #[error("it is not a valid JSON Schema: {what} at `{path}`")]
    Invalid { path: String, what: String },
}

/// One thing that is wrong with arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where, e.g. `deployment.percent` or `tags.0`; empty for the arguments as a whole.
    pub path: String,
    pub message: String,
}

/// A compiled schema.
pub struct Schema {
    source: Map<String, Value>,
    validator: Validator,
    bounds: Bounds,
}

impl Schema {
    /// Compiles the schema of a tool without one too: that takes no arguments in particular.
    pub fn compile(mut source: Map<String, Value>) -> Result<Self, SchemaError> {
        if source.is_empty() {
            source.insert("type".to_owned(), json!("object"));
        }
        if source.get("type") != Some(&json!("object")) {
            return Err(SchemaError::NotAnObject);
        }
        // Some models refuse a tool whose schema has no `properties`.
        source
            .entry("properties")
            .or_insert_with(|| Value::Object(Map::new()));
        let whole = Value::Object(source.clone());
        let bytes = whole.to_string().len();
        if bytes > limits::SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLong { bytes });
        }
        if depth(&whole) > limits::SCHEMA_DEPTH_MAX {
            return Err(SchemaError::TooDeep);
        }
        let bounds = Bounds::of(&whole)?;
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex().size_limit(limits::PATTERN_BYTES_MAX))
            .build(&whole)
            .map_err(|error| SchemaError::Invalid {
                path: dotted(error.instance_path().as_str()),
                what: message(&error),
            })?;
        Ok(Self {
            source,
            validator,
            bounds,
        })
    }

    pub fn source(&self) -> &Map<String, Value> {
        &self.source
    }

    /// The names in `properties`.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        self.source
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|properties| properties.keys())
            .map(String::as_str)
    }

    /// Whether arguments may have this property at all.
    pub fn allows(&self, property: &str) -> bool {
        let is_closed = self.source.get("additionalProperties") == Some(&Value::Bool(false));
        !is_closed || self.properties().any(|known| known == property)
    }

    pub fn requires(&self, property: &str) -> bool {
        self.source
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|required| required.iter().any(|name| name == property))
    }

    /// Checks arguments; tells at most `SCHEMA_FAILURES_MAX` failures.
    pub fn check(&self, arguments: &Value) -> Result<(), Vec<Failure>> {
        if !self.bounds.allow(depth(arguments), values(arguments)) {
            return Err(vec![Failure {
                path: String::new(),
                message: "too large or too deep to be checked against this tool's schema"
                    .to_owned(),
            }]);
        }
        if self.validator.is_valid(arguments) {
            return Ok(());
        }
        Err(self
            .validator
            .iter_errors(arguments)
            .take(limits::SCHEMA_FAILURES_MAX)
            .map(|error| failure(&error))
            .collect())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.source).finish()
    }
}

fn failure(error: &ValidationError<'_>) -> Failure {
    let mut path = dotted(error.instance_path().as_str());
    // A missing property has no place of its own, so the object's is told; the caller wants the property's.
    if let ValidationErrorKind::Required {
        property: Value::String(property),
    } = error.kind()
    {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(property);
        return Failure {
            path: cut(&path),
            message: "is required".to_owned(),
        };
    }
    Failure {
        path: cut(&path),
        message: message(error),
    }
}

fn message(error: &ValidationError<'_>) -> String {
    cut(&error.to_string())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= limits::FAILURE_CHARS_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limits::FAILURE_CHARS_MAX).collect();
    short.push('…');
    short
}

/// A JSON Pointer (RFC 6901) as the rest of the API spells places: `/items/0/id` is `items.0.id`.
fn dotted(pointer: &str) -> String {
    pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect::<Vec<_>>()
        .join(".")
}

#[cfg(test)]
mod tests;
