//! One condition in CEL, compiled under limits. The language has no limit of its own on work, and its parser and
//! interpreter recurse; so what is not certainly cheap is refused when it is written.

use super::check::{self, CheckError};
use super::facts::{Facts, Variable};
use crate::limits;
use cel::{Context, Env, IdedExpr, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::thread;

/// The functions that conditions may call, which are fewer than this has; see `check`.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition that was checked.
#[derive(Debug)]
pub struct Condition {
    expression: IdedExpr,
    variables: BTreeSet<Variable>,
    fields: BTreeSet<String>,
}

/// Why a condition is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    #[error("it has {length} bytes and may have {}", limits::CONDITION_BYTES_MAX)]
    TooLong { length: usize },
    #[error("{0}")]
    Syntax(String),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("the checker failed on it")]
    Broken,
}

impl Condition {
    /// Parses and checks. On a thread of its own: a parser that recurses must not meet a stack that is nearly used up.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        if source.len() > limits::CONDITION_BYTES_MAX {
            let length = source.len();
            return Err(ConditionError::TooLong { length });
        }
        let source = source.to_owned();
        thread::Builder::new()
            .name("rule-check".to_owned())
            .stack_size(limits::CONDITION_CHECK_STACK)
            .spawn(move || compile_here(&source))
            .map_err(|_| ConditionError::Broken)?
            .join()
            .unwrap_or(Err(ConditionError::Broken))
    }

    /// The fields of `args` that are looked at by name.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str)
    }

    pub(crate) fn looks_at(&self, variable: Variable) -> bool {
        self.variables.contains(&variable)
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = Variable> {
        self.variables.iter().copied()
    }

    /// True or false, or why neither. To be called where the stack is deep; see `Evaluator`.
    pub(super) fn evaluate(&self, facts: &Facts) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        for variable in &self.variables {
            let value = facts.value(*variable).map_err(|unfit| unfit.to_string())?;
            context.add_variable_from_value(variable.name(), value.clone());
        }
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("it is {}, not true or false", other.type_of())),
            // Not the error itself, which may quote arguments of any length.
            Err(error) => Err(brief(&error)),
        }
    }
}

fn compile_here(source: &str) -> Result<Condition, ConditionError> {
    let parser = cel::parser::Parser::new()
        .max_recursion_depth(limits::CONDITION_NESTING_MAX)
        .error_recovery_limit(4);
    let expression = parser
        .parse(source)
        .map_err(|errors| ConditionError::Syntax(first_line(&errors.to_string())))?;
    let found = check::check(&expression)?;
    for pattern in &found.patterns {
        try_pattern(pattern)?;
    }
    Ok(Condition {
        expression,
        variables: found.variables,
        fields: found.fields,
    })
}

/// A pattern that the engine refuses would make the rule fail for every call.
fn try_pattern(pattern: &str) -> Result<(), ConditionError> {
    let mut context = Context::with_env(Arc::clone(&ENV));
    context.add_variable_from_value("pattern", Value::from(pattern));
    let probe = cel::parser::Parser::new()
        .parse("''.matches(pattern)")
        .map_err(|_| ConditionError::Broken)?;
    match Value::resolve(&probe, &context) {
        Ok(_) => Ok(()),
        Err(_) => Err(CheckError::Pattern(pattern.to_owned()).into()),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(limits::FAILURE_CHARS_MAX).collect()
}

/// What went wrong, without the values that it went wrong with.
fn brief(error: &cel::ExecutionError) -> String {
    use cel::ExecutionError as E;
    match error {
        E::NoSuchKey(key) => format!(
            "there is no `{}`; test it with `has` first",
            first_line(key)
        ),
        E::NoSuchOverload(error) => first_line(&error.to_string()),
        E::ValuesNotComparable(..) => "values of different types are compared".to_owned(),
        E::UnexpectedType { got, want } => {
            format!("a value is {}, not {}", first_line(got), first_line(want))
        }
        E::DivisionByZero(_) | E::RemainderByZero(_) => "it divides by zero".to_owned(),
        E::Overflow(..) => "a number is too large".to_owned(),
        E::IndexOutOfBounds(_) => "a list is shorter than that".to_owned(),
        _ => "the values do not fit what is done with them".to_owned(),
    }
}
