//! Schemas of a document, made to stand alone: what they refer to comes along, and the spellings of OpenAPI 3.0 become
//! those of JSON Schema.

use super::OpenapiError;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// References that may follow one another.
const HOPS_MAX: usize = 16;

/// Levels of a schema that are looked into.
const DEPTH_MAX: usize = 64;

pub(super) struct Schemas<'a> {
    document: &'a Value,
    /// Schemas under `components` that are referred to.
    used: BTreeSet<String>,
}

const SHARED: &str = "#/components/schemas/";

impl<'a> Schemas<'a> {
    pub(super) fn of(document: &'a Value) -> Self {
        Self {
            document,
            used: BTreeSet::new(),
        }
    }

    /// What a value is once its references are followed.
    pub(super) fn resolved<'v>(&self, value: &'v Value) -> Result<&'v Value, OpenapiError>
    where
        'a: 'v,
    {
        let mut at = value;
        for _ in 0..HOPS_MAX {
            let Some(reference) = at["$ref"].as_str() else {
                return Ok(at);
            };
            at = self.place(reference)?;
        }
        Err(OpenapiError::DanglingReference {
            reference: value["$ref"].as_str().unwrap_or_default().to_owned(),
        })
    }

    fn place(&self, reference: &str) -> Result<&'a Value, OpenapiError> {
        let pointer =
            reference
                .strip_prefix('#')
                .ok_or_else(|| OpenapiError::ForeignReference {
                    reference: reference.to_owned(),
                })?;
        self.document
            .pointer(pointer)
            .ok_or_else(|| OpenapiError::DanglingReference {
                reference: reference.to_owned(),
            })
    }

    /// A schema whose references lead to `$defs`.
    pub(super) fn own(&mut self, schema: &Value) -> Result<Value, OpenapiError> {
        self.rewritten(schema, 0)
    }

    /// The schemas that those asked for refer to, and those that these refer to.
    pub(super) fn used(&mut self) -> Result<Map<String, Value>, OpenapiError> {
        let mut defs = Map::new();
        while let Some(name) = self
            .used
            .iter()
            .find(|name| !defs.contains_key(*name))
            .cloned()
        {
            let schema = self.place(&format!("{SHARED}{name}"))?.clone();
            let own = self.rewritten(&schema, 0)?;
            defs.insert(name, own);
        }
        Ok(defs)
    }

    fn rewritten(&mut self, schema: &Value, depth: usize) -> Result<Value, OpenapiError> {
        if depth > DEPTH_MAX {
            return Ok(json!({}));
        }
        let map = match schema {
            Value::Object(map) => map,
            Value::Array(items) => {
                let items = items.iter().map(|item| self.rewritten(item, depth + 1));
                return items.collect::<Result<Vec<_>, _>>().map(Value::Array);
            }
            Value::Null if depth == 0 => return Ok(json!({})),
            other => return Ok(other.clone()),
        };
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            let Some(name) = reference
                .strip_prefix(SHARED)
                .filter(|name| !name.contains('/'))
            else {
                let place = self.place(reference)?.clone();
                return self.rewritten(&place, depth + 1);
            };
            self.place(reference)?;
            self.used.insert(name.to_owned());
            return Ok(json!({ "$ref": format!("#/$defs/{name}") }));
        }
        let mut own = Map::new();
        for (key, value) in map {
            // Notes for readers and other programs, some of which are no JSON Schema.
            let is_note = matches!(
                key.as_str(),
                "example"
                    | "examples"
                    | "xml"
                    | "externalDocs"
                    | "discriminator"
                    | "deprecated"
                    | "nullable"
                    | "readOnly"
                    | "writeOnly"
                    | "$schema"
            ) || key.starts_with("x-");
            // Values, not schemas: they stay as they are.
            let is_value = matches!(key.as_str(), "enum" | "const" | "default" | "required");
            if key == "properties" {
                let mut properties = Map::new();
                for (name, property) in value.as_object().into_iter().flatten() {
                    properties.insert(name.clone(), self.rewritten(property, depth + 1)?);
                }
                own.insert(key.clone(), Value::Object(properties));
            } else if is_value {
                own.insert(key.clone(), value.clone());
            } else if !is_note {
                own.insert(key.clone(), self.rewritten(value, depth + 1)?);
            }
        }
        modern(map, &mut own);
        Ok(own.into())
    }
}

/// OpenAPI 3.0 spells two things otherwise: `nullable`, and exclusive bounds as booleans.
fn modern(written: &Map<String, Value>, own: &mut Map<String, Value>) {
    if written.get("nullable") == Some(&json!(true)) {
        if let Some(Value::String(kind)) = own.get("type") {
            let kinds = json!([kind, "null"]);
            own.insert("type".to_owned(), kinds);
        }
        if let Some(Value::Array(values)) = own.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        if let Some(Value::Bool(is_exclusive)) = written.get(exclusive) {
            own.remove(exclusive);
            if *is_exclusive && let Some(value) = own.remove(bound) {
                own.insert(exclusive.to_owned(), value);
            }
        }
    }
}
