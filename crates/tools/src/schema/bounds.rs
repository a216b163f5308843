//! How much work a schema can make. References let a short schema stand for an endless or enormous one; this refuses
//! those before they are compiled, and limits how deep arguments may go for one that refers to itself.

use super::SchemaError;
use crate::limits::{SCHEMA_CHAIN_MAX, SCHEMA_EXPANDED_MAX, SCHEMA_STACK_MAX, SCHEMA_STEPS_MAX};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Keywords whose value maps free names to schemas.
const NAMED: [&str; 6] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependencies",
];

/// Keywords whose value is data.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "example"];

/// Keywords whose schemas are for a part of what their own schema is for, so that a cycle through them ends with
/// the arguments.
const INTO: [&str; 10] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
];

/// Keywords that move or look up references in ways that only a full resolver follows.
const UNSUPPORTED: [&str; 4] = [
    "$dynamicRef",
    "$recursiveRef",
    "$dynamicAnchor",
    "$recursiveAnchor",
];

/// What checking arguments may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Rules once every reference that does not lead back is replaced by what it names.
    rules: u64,
    /// References followed in a row before one leads back.
    chain: u64,
    /// How many references of one place lead back to it: ways down at each level. 0 without such.
    branching: u64,
}

/// A reference and whether something of the arguments lies between it and its place's root.
struct Reference {
    to: String,
    descends: bool,
}

/// A target of references and what it holds, references not followed.
#[derive(Default)]
struct Place {
    rules: u64,
    references: Vec<Reference>,
}

type Places = BTreeMap<String, Place>;

impl Bounds {
    /// Refuses schemas for which no bound can be given.
    pub(super) fn of(schema: &Value) -> Result<Self, SchemaError> {
        let places = places(schema)?;
        if let Some(reference) = places
            .keys()
            .find(|place| reaches(&places, place, place, |reference| !reference.descends))
        {
            return Err(SchemaError::Endless {
                reference: reference.clone(),
            });
        }
        let mut walk = Walk {
            places: &places,
            known: BTreeMap::new(),
            path: Vec::new(),
        };
        let (rules, chain) = walk.size("#")?;
        let branching = places
            .iter()
            .map(|(name, place)| {
                place
                    .references
                    .iter()
                    .filter(|reference| {
                        reference.to == *name || reaches(&places, &reference.to, name, |_| true)
                    })
                    .count() as u64
            })
            .max()
            .unwrap_or(0);
        Ok(Self {
            rules,
            chain,
            branching,
        })
    }

    /// Whether arguments of this depth and number of values can be checked within the limits.
    pub(super) fn allow(self, depth: usize, values: usize) -> bool {
        if self.rules.saturating_mul(values as u64) > SCHEMA_STEPS_MAX {
            return false;
        }
        if self.branching == 0 {
            return true;
        }
        let ways = u32::try_from(depth)
            .ok()
            .and_then(|depth| self.branching.checked_pow(depth))
            .unwrap_or(u64::MAX);
        ways.saturating_mul(self.rules) <= SCHEMA_STEPS_MAX / 10
            && self.chain.saturating_mul(depth as u64) <= SCHEMA_STACK_MAX
    }
}

/// Every place that references lead to, the root among them.
fn places(schema: &Value) -> Result<Places, SchemaError> {
    let mut places = BTreeMap::new();
    let mut open = vec!["#".to_owned()];
    while let Some(target) = open.pop() {
        if places.contains_key(&target) {
            continue;
        }
        let Some(root) = schema.pointer(&pointer(&target)) else {
            return Err(SchemaError::DanglingReference { reference: target });
        };
        let mut place = Place::default();
        collect(root, target == "#", false, &mut place)?;
        open.extend(
            place
                .references
                .iter()
                .map(|reference| reference.to.clone()),
        );
        places.insert(target, place);
    }
    Ok(places)
}

/// Whether one reference or more lead from one place to the other.
fn reaches(places: &Places, from: &str, to: &str, follow: fn(&Reference) -> bool) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for reference in places[at].references.iter().filter(|each| follow(each)) {
            if reference.to == to {
                return true;
            }
            if seen.insert(reference.to.as_str()) {
                open.push(&reference.to);
            }
        }
    }
    false
}

/// A fragment (`#/a%20b`) as a JSON Pointer.
fn pointer(reference: &str) -> String {
    percent_encoding::percent_decode_str(reference.trim_start_matches('#'))
        .decode_utf8_lossy()
        .into_owned()
}

fn collect(
    schema: &Value,
    is_root: bool,
    descends: bool,
    place: &mut Place,
) -> Result<(), SchemaError> {
    let Value::Object(map) = schema else {
        // A list of schemas; `true` and `false` are schemas without rules.
        if let Value::Array(items) = schema {
            for item in items {
                collect(item, false, descends, place)?;
            }
        }
        return Ok(());
    };
    place.rules += 1;
    for (keyword, value) in map {
        let keyword = keyword.as_str();
        if let Some(keyword) = UNSUPPORTED.into_iter().find(|known| *known == keyword) {
            return Err(SchemaError::Unsupported { keyword });
        }
        // Below another `$id` a fragment means another document's.
        if keyword == "$id" && !is_root && value.is_string() {
            return Err(SchemaError::Unsupported {
                keyword: "$id below the top",
            });
        }
        if keyword == "$ref" {
            let Value::String(reference) = value else {
                continue;
            };
            if reference != "#" && !reference.starts_with("#/") {
                return Err(SchemaError::ForeignReference {
                    reference: reference.clone(),
                });
            }
            place.references.push(Reference {
                to: reference.clone(),
                descends,
            });
        } else if NAMED.contains(&keyword) {
            let descends = descends || INTO.contains(&keyword);
            // Definitions count only where a reference leads to them.
            if keyword == "$defs" || keyword == "definitions" {
                continue;
            }
            for child in value.as_object().into_iter().flat_map(|map| map.values()) {
                collect(child, false, descends, place)?;
            }
        } else if !DATA.contains(&keyword) {
            collect(value, false, descends || INTO.contains(&keyword), place)?;
        }
    }
    Ok(())
}

struct Walk<'a> {
    places: &'a Places,
    known: BTreeMap<&'a str, (u64, u64)>,
    path: Vec<&'a str>,
}

impl Walk<'_> {
    /// Rules and chain of a place; see `Bounds`.
    fn size(&mut self, target: &str) -> Result<(u64, u64), SchemaError> {
        let (target, place) = self
            .places
            .get_key_value(target)
            .expect("every target of a reference was collected");
        if let Some(known) = self.known.get(target.as_str()) {
            return Ok(*known);
        }
        self.path.push(target);
        let (mut rules, mut chain) = (place.rules, 0);
        for reference in &place.references {
            if self.path.contains(&reference.to.as_str()) {
                continue;
            }
            if self.path.len() as u64 > SCHEMA_CHAIN_MAX {
                return Err(SchemaError::TooDeep);
            }
            let (more, longer) = self.size(&reference.to)?;
            rules = rules.saturating_add(more);
            chain = chain.max(longer);
        }
        self.path.pop();
        if rules > SCHEMA_EXPANDED_MAX {
            return Err(SchemaError::TooLarge);
        }
        if chain >= SCHEMA_CHAIN_MAX {
            return Err(SchemaError::TooDeep);
        }
        self.known.insert(target, (rules, chain + 1));
        Ok((rules, chain + 1))
    }
}
