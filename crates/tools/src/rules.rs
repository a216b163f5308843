//! Rules on calls, at three levels, with conditions in CEL. It knows how they are written, checked and evaluated; what
//! follows from several of them is `domain::policy`'s.

mod check;
mod condition;
mod evaluate;
mod facts;
mod types;

#[cfg(test)]
mod tests;

pub use check::CheckError;
pub use condition::{Condition, ConditionError};
pub use facts::Unfit;

pub(crate) use evaluate::Evaluator;
pub(crate) use facts::{Facts, Sources, Variable};

use domain::policy::{By, Level, Opinion, RuleText};
use domain::tool::Policy;
use std::sync::Arc;

/// A rule whose text is in order.
#[derive(Debug)]
pub struct Rule {
    pub(crate) level: Level,
    pub(crate) text: RuleText,
    pub(crate) condition: Option<Arc<Condition>>,
}

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error("a rule's name has 1 to 64 letters, digits, `_`, `-` and `.`")]
    Name,
    #[error("`policy = \"auto\"` demands nothing; a rule asks, always asks or denies")]
    DemandsNothing,
    #[error("`tools` has an empty name")]
    EmptyTool,
    #[error("`when` cannot be used")]
    When(#[source] ConditionError),
}

impl Rule {
    /// Checks and compiles a rule. Takes a moment: at start and when an agent's file changes, never for a call.
    pub fn compile(level: Level, text: RuleText) -> Result<Self, RuleError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=64).contains(&text.name.len()) || !text.name.bytes().all(is_name) {
            return Err(RuleError::Name);
        }
        if text.policy == Policy::Auto {
            return Err(RuleError::DemandsNothing);
        }
        if text.tools.iter().any(String::is_empty) {
            return Err(RuleError::EmptyTool);
        }
        let condition = text.when.as_deref().map(Condition::compile).transpose();
        let condition = condition.map_err(RuleError::When)?.map(Arc::new);
        Ok(Self {
            level,
            text,
            condition,
        })
    }

    /// A rule of an agent's stored version that cannot be used any more holds for every call that it is about.
    pub(crate) fn unconditional(level: Level, text: RuleText) -> Self {
        Self {
            level,
            text: RuleText { when: None, ..text },
            condition: None,
        }
    }

    pub fn text(&self) -> &RuleText {
        &self.text
    }

    /// The fields of `args` that the rule looks at by name.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.condition
            .iter()
            .flat_map(|condition| condition.fields())
    }

    pub(crate) fn by(&self) -> By {
        By::Rule {
            level: self.level,
            name: self.text.name.clone(),
        }
    }
}

/// What came of putting one rule to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// The rule is about other tools.
    OtherTool,
    /// Its condition is false.
    NoMatch,
    Matched,
    /// Its condition could not be evaluated, which counts as a match: a rule that cannot see must not let through.
    Failed(String),
}

/// A rule and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    pub by: By,
    pub policy: Policy,
    pub why: Option<String>,
    pub came: Came,
}

impl Considered {
    pub(crate) fn of(rule: &Rule, came: Came) -> Self {
        Self {
            by: rule.by(),
            policy: rule.text.policy,
            why: rule.text.why.clone(),
            came,
        }
    }

    /// The rule's demand on the call, if it has one.
    pub fn opinion(&self) -> Option<Opinion> {
        let why = match &self.came {
            Came::OtherTool | Came::NoMatch => return None,
            Came::Matched => self.why.clone(),
            Came::Failed(error) => Some(format!("its condition could not be evaluated: {error}")),
        };
        Some(Opinion {
            by: self.by.clone(),
            policy: self.policy,
            why,
        })
    }
}
