//! The types of what conditions look at, as far as they are known before a call: enough to refuse a comparison that
//! can never be true.

use super::facts::Variable;

/// What is known of a value's type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    /// Anything: what models and clients write.
    Any,
    Bool,
    Number,
    Text,
    /// Text that is one of these.
    Word(&'static [&'static str]),
    Null,
    List(Box<Type>),
    /// Keys and values of any kind.
    Map,
    /// Exactly these fields, all of them always there.
    Record(&'static [(&'static str, Field)]),
    /// A duration or a point in time.
    Time,
}

/// The type of a record's field, in a form that a constant can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field {
    Text,
    Map,
    Word(&'static [&'static str]),
    Words(&'static [&'static str]),
}

const ROLES: &[&str] = &["owner", "developer", "approver", "viewer", "session", ""];
const EFFECTS: &[&str] = &["idempotent", "keyed", "unsafe"];
const LABELS: &[&str] = &["reads_private", "reads_untrusted", "changes_state"];

const AGENT: &[(&str, Field)] = &[
    ("type", Field::Text),
    ("version", Field::Text),
    ("metadata", Field::Map),
];
const CALLER: &[(&str, Field)] = &[("role", Field::Word(ROLES)), ("key", Field::Text)];
const WITH_METADATA: &[(&str, Field)] = &[("metadata", Field::Map)];
const TOOL: &[(&str, Field)] = &[
    ("name", Field::Text),
    ("effect", Field::Word(EFFECTS)),
    ("labels", Field::Words(LABELS)),
];

pub(super) fn of_variable(variable: Variable) -> Type {
    match variable {
        Variable::Args => Type::Map,
        Variable::Agent => Type::Record(AGENT),
        Variable::Caller => Type::Record(CALLER),
        Variable::Run | Variable::Thread => Type::Record(WITH_METADATA),
        Variable::Tool => Type::Record(TOOL),
    }
}

impl From<Field> for Type {
    fn from(field: Field) -> Self {
        match field {
            Field::Text => Self::Text,
            Field::Map => Self::Map,
            Field::Word(words) => Self::Word(words),
            Field::Words(words) => Self::List(Box::new(Self::Word(words))),
        }
    }
}

impl Type {
    /// For messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text | Self::Word(_) => "text",
            Self::Null => "null",
            Self::List(_) => "a list",
            Self::Map | Self::Record(_) => "an object",
            Self::Time => "a time",
        }
    }

    /// Whether a value of one may equal a value of the other.
    pub(super) fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Word(one), Self::Word(other)) => one.iter().any(|word| other.contains(word)),
            (Self::List(one), Self::List(other)) => one.may_equal(other),
            (one, other) => one.name() == other.name(),
        }
    }

    /// What there is of both where a value is one or the other.
    pub(super) fn either(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }

    pub(super) fn is_bool(&self) -> bool {
        matches!(self, Self::Any | Self::Bool)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Any | Self::Text | Self::Word(_))
    }
}
