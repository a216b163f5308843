//! What a condition can see of a call, as values of CEL.

use crate::limits;
use cel::Value;
use cel::objects::{Key, Map as CelMap};
use domain::agent::Agent;
use domain::key::Principal;
use domain::policy::Labels;
use domain::ports::tools::CallContext;
use domain::tool::{Effect, ToolSpec};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::sync::Arc;

/// The names that conditions may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variable {
    Args,
    Agent,
    Caller,
    Run,
    Thread,
    Tool,
}

impl Variable {
    pub(crate) const ALL: [Self; 6] = [
        Self::Args,
        Self::Agent,
        Self::Caller,
        Self::Run,
        Self::Thread,
        Self::Tool,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Args => "args",
            Self::Agent => "agent",
            Self::Caller => "caller",
            Self::Run => "run",
            Self::Thread => "thread",
            Self::Tool => "tool",
        }
    }
}

/// A value that conditions are not shown, because looking at it could take too long. Cutting it short instead would
/// hide its rest from every rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "a list or object has more than {} entries",
        limits::CONDITION_LIST_MAX
    )]
    LongList,
    #[error("there are more than {} values", limits::CONDITION_VALUES_MAX)]
    ManyValues,
}

/// The variables that somebody asked for, ready to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    values: Vec<(Variable, Result<Value, Unfit>)>,
}

/// Where the facts come from.
pub(crate) struct Sources<'a> {
    pub arguments: &'a Json,
    pub context: &'a CallContext,
    pub tool: &'a ToolSpec,
    pub labels: Labels,
}

impl Facts {
    pub(crate) fn gather(wanted: impl IntoIterator<Item = Variable>, from: &Sources<'_>) -> Self {
        let mut facts = Self::default();
        for variable in wanted {
            if facts.values.iter().all(|(known, _)| *known != variable) {
                facts.values.push((variable, value_of(variable, from)));
            }
        }
        facts
    }

    /// The arguments alone, for a grant's predicate.
    pub(crate) fn of_arguments(arguments: &Json) -> Self {
        Self {
            values: vec![(Variable::Args, json(arguments))],
        }
    }

    pub(super) fn value(&self, variable: Variable) -> Result<&Value, Unfit> {
        let found = self.values.iter().find(|(known, _)| *known == variable);
        match found {
            Some((_, Ok(value))) => Ok(value),
            Some((_, Err(unfit))) => Err(unfit.clone()),
            None => Ok(&Value::Null),
        }
    }
}

fn value_of(variable: Variable, from: &Sources<'_>) -> Result<Value, Unfit> {
    let context = from.context;
    match variable {
        Variable::Args => json(from.arguments),
        Variable::Agent => agent(&context.agent),
        Variable::Caller => Ok(caller(&context.caller)),
        Variable::Run => Ok(record([("metadata", object(&context.metadata)?)])),
        Variable::Thread => Ok(record([("metadata", object(&context.thread_metadata)?)])),
        Variable::Tool => Ok(tool(from.tool, from.labels)),
    }
}

fn agent(agent: &Agent) -> Result<Value, Unfit> {
    Ok(record([
        ("type", text(&agent.agent_type)),
        ("version", text(&agent.version)),
        ("metadata", object(&agent.metadata)?),
    ]))
}

fn caller(caller: &Principal) -> Value {
    let role = caller.role.map_or("", |role| role.as_str());
    record([("role", text(role)), ("key", text(&caller.name))])
}

fn tool(spec: &ToolSpec, labels: Labels) -> Value {
    let effect = match spec.effect {
        Effect::Idempotent => "idempotent",
        Effect::Keyed => "keyed",
        Effect::Unsafe => "unsafe",
    };
    let labels = labels.iter().map(|label| text(label.as_str())).collect();
    record([
        ("name", text(&spec.name)),
        ("effect", text(effect)),
        ("labels", Value::List(Arc::new(labels))),
    ])
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    map(fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value)))
}

fn map(fields: impl Iterator<Item = (String, Value)>) -> Value {
    let fields: HashMap<Key, Value> = fields
        .map(|(name, value)| (Key::String(Arc::new(name)), value))
        .collect();
    Value::Map(CelMap {
        map: Arc::new(fields),
    })
}

fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn json(value: &Json) -> Result<Value, Unfit> {
    convert(value, &mut { limits::CONDITION_VALUES_MAX })
}

fn object(value: &Map<String, Json>) -> Result<Value, Unfit> {
    members(value, &mut { limits::CONDITION_VALUES_MAX })
}

/// `left` is how many more values there may be.
fn convert(value: &Json, left: &mut usize) -> Result<Value, Unfit> {
    *left = left.checked_sub(1).ok_or(Unfit::ManyValues)?;
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(value) => text(value),
        Json::Array(items) => {
            if items.len() > limits::CONDITION_LIST_MAX {
                return Err(Unfit::LongList);
            }
            let items: Result<Vec<Value>, Unfit> =
                items.iter().map(|item| convert(item, left)).collect();
            Value::List(Arc::new(items?))
        }
        Json::Object(fields) => members(fields, left)?,
    })
}

fn members(fields: &Map<String, Json>, left: &mut usize) -> Result<Value, Unfit> {
    if fields.len() > limits::CONDITION_LIST_MAX {
        return Err(Unfit::LongList);
    }
    let mut values = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        values.push((name.clone(), convert(value, left)?));
    }
    Ok(map(values.into_iter()))
}
