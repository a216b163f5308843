//! Walks a parsed condition before it is ever used: names must be known, types must fit, and its work must be bounded.
//! A rule that cannot match would be a gap that nobody sees, so it is refused here.

use super::facts::Variable;
use super::types::{self, Type};
use crate::limits;
use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators as op,
};
use std::collections::BTreeSet;

/// Why a condition that can be read is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("it is more than {} levels deep", limits::CONDITION_DEPTH_MAX)]
    TooDeep,
    #[error("a walk over a list stands inside another")]
    NestedWalk,
    #[error("it walks over more than {} lists", limits::CONDITION_WALKS_MAX)]
    ManyWalks,
    #[error("{0} may not stand inside a walk over a list")]
    CostlyInWalk(&'static str),
    #[error("there is no `{0}`; there are: args, agent, caller, run, thread, tool")]
    UnknownName(String),
    #[error("`{0}` names something else already")]
    TakenName(String),
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    #[error("`{owner}` has no `{field}`; it has: {known}")]
    UnknownField {
        owner: String,
        field: String,
        known: String,
    },
    #[error("{0} has no fields")]
    NoFields(&'static str),
    #[error("{left} is never equal to {right}")]
    NeverEqual {
        left: &'static str,
        right: &'static str,
    },
    #[error("{word:?} is never there; there are: {known}")]
    NeverWord { word: String, known: String },
    #[error("`{function}` takes {wants}, not {got}")]
    Argument {
        function: String,
        wants: &'static str,
        got: &'static str,
    },
    #[error("the pattern of `matches` must be written out in the condition")]
    OpenPattern,
    #[error("the pattern {0:?} cannot be used")]
    Pattern(String),
    #[error("it is {0}, not true or false")]
    NotBool(&'static str),
    #[error("it looks at nothing of the call, so it is the same for all")]
    Constant,
    #[error("a message or type cannot be made here")]
    Unsupported,
}

/// What a condition looks at.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub variables: BTreeSet<Variable>,
    /// Fields of `args`.
    pub fields: BTreeSet<String>,
    /// Patterns of `matches`.
    pub patterns: Vec<String>,
}

pub(super) fn check(expression: &IdedExpr) -> Result<Found, CheckError> {
    let mut walk = Walk::default();
    let kind = walk.expression(&expression.expr, 0)?;
    if !kind.is_bool() {
        return Err(CheckError::NotBool(kind.name()));
    }
    if walk.found.variables.is_empty() {
        return Err(CheckError::Constant);
    }
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Names that walks over lists bring.
    scope: Vec<(String, Type)>,
    walks: usize,
    in_walk: bool,
}

type Checked = Result<Type, CheckError>;

impl Walk {
    fn expression(&mut self, expression: &Expr, depth: usize) -> Checked {
        if depth >= limits::CONDITION_DEPTH_MAX {
            return Err(CheckError::TooDeep);
        }
        let depth = depth + 1;
        match expression {
            Expr::Literal(literal) => Ok(of_literal(literal)),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select, depth),
            Expr::Call(call) => self.call(call, depth),
            Expr::Comprehension(walk) => self.walk(walk, depth),
            Expr::List(list) => {
                let mut kind: Option<Type> = None;
                for item in &list.elements {
                    let item = self.expression(&item.expr, depth)?;
                    kind = Some(match kind {
                        Some(kind) => kind.either(item),
                        None => item,
                    });
                }
                Ok(Type::List(Box::new(kind.unwrap_or(Type::Any))))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(CheckError::Unsupported);
                    };
                    self.expression(&entry.key.expr, depth)?;
                    self.expression(&entry.value.expr, depth)?;
                }
                Ok(Type::Map)
            }
            Expr::Struct(_) | Expr::Unspecified => Err(CheckError::Unsupported),
        }
    }

    fn name(&mut self, name: &str) -> Checked {
        if let Some((_, kind)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return Ok(kind.clone());
        }
        match variable(name) {
            Some(variable) => {
                self.found.variables.insert(variable);
                Ok(types::of_variable(variable))
            }
            None => Err(CheckError::UnknownName(name.to_owned())),
        }
    }

    fn select(&mut self, select: &SelectExpr, depth: usize) -> Checked {
        self.note_field(&select.operand.expr, &select.field);
        let owner = self.expression(&select.operand.expr, depth)?;
        let kind = field(&owner, &select.operand.expr, &select.field)?;
        Ok(if select.test { Type::Bool } else { kind })
    }

    /// Keeps what is looked at of the arguments by name.
    fn note_field(&mut self, owner: &Expr, field: &str) {
        let is_args = matches!(owner, Expr::Ident(name) if name == Variable::Args.name());
        if is_args && self.scope.iter().all(|(name, _)| name != "args") {
            self.found.fields.insert(field.to_owned());
        }
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Checked {
        let function = call.func_name.as_str();
        let mut kinds = Vec::new();
        let operands = call.target.iter().map(AsRef::as_ref).chain(&call.args);
        let operands: Vec<&IdedExpr> = operands.collect();
        for operand in &operands {
            kinds.push(self.expression(&operand.expr, depth)?);
        }
        match (function, operands.as_slice(), kinds.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT, _, kinds) => {
                wants_all(function, kinds, "true or false", Type::is_bool)?;
                Ok(Type::Bool)
            }
            (op::NOT_STRICTLY_FALSE, ..) => Ok(Type::Bool),
            (op::CONDITIONAL, _, [condition, yes, no]) => {
                wants(function, condition, "true or false", Type::is_bool)?;
                Ok(yes.clone().either(no.clone()))
            }
            (op::EQUALS | op::NOT_EQUALS, [left, right], [a, b]) => {
                self.equal((&left.expr, a), (&right.expr, b))?;
                Ok(Type::Bool)
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, _, [a, b]) => {
                comparable(a, b)?;
                Ok(Type::Bool)
            }
            (op::IN, [item, list], [kind, of]) => {
                self.contained((&item.expr, kind), (&list.expr, of))?;
                Ok(Type::Bool)
            }
            (op::INDEX, [owner, key], [kind, _]) => self.index(owner, key, kind),
            (op::ADD, _, [a, b]) => self.add(&operands, a, b),
            (op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, _, [a, b]) => {
                arithmetic(function, a)?;
                arithmetic(function, b)?;
                Ok(a.clone().either(b.clone()))
            }
            (op::NEGATE, _, [a]) => {
                arithmetic(function, a)?;
                Ok(a.clone())
            }
            ("size", _, [of]) => {
                let has_size =
                    |kind: &Type| kind.is_text() || matches!(kind, Type::List(_) | Type::Map);
                wants(function, of, "text, a list or an object", has_size)?;
                Ok(Type::Number)
            }
            ("contains" | "startsWith" | "endsWith", _, kinds @ [_, _]) => {
                wants_all(function, kinds, "text", Type::is_text)?;
                Ok(Type::Bool)
            }
            ("matches", [_, pattern], kinds @ [_, _]) => {
                wants_all(function, kinds, "text", Type::is_text)?;
                self.pattern(&pattern.expr)
            }
            ("int" | "uint" | "double", _, [_]) => Ok(Type::Number),
            ("string", _, [_]) => Ok(Type::Text),
            ("bool", _, [_]) => Ok(Type::Bool),
            ("duration" | "timestamp", _, [_]) => Ok(Type::Time),
            _ => Err(CheckError::UnknownFunction(function.to_owned())),
        }
    }

    fn index(&mut self, owner: &IdedExpr, key: &IdedExpr, kind: &Type) -> Checked {
        if let Some(name) = literal_text(&key.expr) {
            self.note_field(&owner.expr, name);
            return field(kind, &owner.expr, name);
        }
        match kind {
            Type::List(of) => Ok(of.as_ref().clone()),
            Type::Any | Type::Map | Type::Record(_) => Ok(Type::Any),
            other => Err(CheckError::NoFields(other.name())),
        }
    }

    fn add(&mut self, operands: &[&IdedExpr], a: &Type, b: &Type) -> Checked {
        // The walk's own result grows by one entry a step; texts and lists of the call must not.
        let is_own = matches!(operands, [first, _] if matches!(&first.expr, Expr::Ident(name) if name.starts_with('@')));
        if self.in_walk && !is_own {
            return Err(CheckError::CostlyInWalk("`+`"));
        }
        if !a.may_equal(b) && !is_own {
            let (wants, got) = (a.name(), b.name());
            let function = "+".to_owned();
            return Err(CheckError::Argument {
                function,
                wants,
                got,
            });
        }
        Ok(a.clone().either(b.clone()))
    }

    fn pattern(&mut self, pattern: &Expr) -> Checked {
        if self.in_walk {
            return Err(CheckError::CostlyInWalk("`matches`"));
        }
        let text = literal_text(pattern).ok_or(CheckError::OpenPattern)?;
        self.found.patterns.push(text.to_owned());
        Ok(Type::Bool)
    }

    fn equal(&self, left: (&Expr, &Type), right: (&Expr, &Type)) -> Result<(), CheckError> {
        known_word(left.1, right.0)?;
        known_word(right.1, left.0)?;
        if left.1.may_equal(right.1) {
            return Ok(());
        }
        let (left, right) = (left.1.name(), right.1.name());
        Err(CheckError::NeverEqual { left, right })
    }

    fn contained(&self, item: (&Expr, &Type), list: (&Expr, &Type)) -> Result<(), CheckError> {
        match list.1 {
            Type::Any | Type::Map => Ok(()),
            Type::Record(fields) => match literal_text(item.0) {
                Some(word) if !fields.iter().any(|(name, _)| *name == word) => {
                    Err(never_word(word, fields.iter().map(|(name, _)| *name)))
                }
                _ => Ok(()),
            },
            Type::List(of) => {
                known_word(of, item.0)?;
                if let Expr::List(written) = list.0 {
                    for entry in &written.elements {
                        known_word(item.1, &entry.expr)?;
                    }
                }
                if item.1.may_equal(of) {
                    return Ok(());
                }
                let (left, right) = (item.1.name(), of.name());
                Err(CheckError::NeverEqual { left, right })
            }
            other => Err(CheckError::Argument {
                function: "in".to_owned(),
                wants: "a list or an object",
                got: other.name(),
            }),
        }
    }

    fn walk(&mut self, walk: &ComprehensionExpr, depth: usize) -> Checked {
        if self.in_walk {
            return Err(CheckError::NestedWalk);
        }
        self.walks += 1;
        if self.walks > limits::CONDITION_WALKS_MAX {
            return Err(CheckError::ManyWalks);
        }
        let over = self.expression(&walk.iter_range.expr, depth)?;
        let item = match over {
            Type::List(of) => *of,
            Type::Any | Type::Map | Type::Record(_) => Type::Any,
            other => {
                return Err(CheckError::Argument {
                    function: "a walk".to_owned(),
                    wants: "a list or an object",
                    got: other.name(),
                });
            }
        };
        if variable(&walk.iter_var).is_some() {
            return Err(CheckError::TakenName(walk.iter_var.clone()));
        }
        let begin = self.expression(&walk.accu_init.expr, depth)?;
        // What a walk gathers is of the kind that it begins with; the entries of a list may be of any.
        let gathered = match begin {
            Type::List(_) => Type::List(Box::new(Type::Any)),
            other => other,
        };
        let before = self.scope.len();
        self.scope.push((walk.iter_var.clone(), item));
        if let Some(second) = &walk.iter_var2 {
            self.scope.push((second.clone(), Type::Any));
        }
        self.scope.push((walk.accu_var.clone(), gathered));
        self.in_walk = true;
        self.expression(&walk.loop_cond.expr, depth)?;
        self.expression(&walk.loop_step.expr, depth)?;
        self.in_walk = false;
        let result = self.expression(&walk.result.expr, depth)?;
        self.scope.truncate(before);
        Ok(result)
    }
}

fn variable(name: &str) -> Option<Variable> {
    Variable::ALL
        .into_iter()
        .find(|variable| variable.name() == name)
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Number,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::Null => Type::Null,
        LiteralValue::Bytes(_) => Type::Any,
    }
}

fn literal_text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The type of a field; `expression` names its owner in messages.
fn field(owner: &Type, expression: &Expr, field: &str) -> Checked {
    match owner {
        Type::Any | Type::Map => Ok(Type::Any),
        Type::Record(fields) => match fields.iter().find(|(name, _)| *name == field) {
            Some((_, kind)) => Ok((*kind).into()),
            None => {
                let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                let owner = match expression {
                    Expr::Ident(name) => name.clone(),
                    _ => "it".to_owned(),
                };
                Err(CheckError::UnknownField {
                    owner,
                    field: field.to_owned(),
                    known: known.join(", "),
                })
            }
        },
        other => Err(CheckError::NoFields(other.name())),
    }
}

/// A word that a value of this type never is.
fn known_word(kind: &Type, written: &Expr) -> Result<(), CheckError> {
    match (kind, literal_text(written)) {
        (Type::Word(words), Some(word)) if !words.contains(&word) => {
            Err(never_word(word, words.iter().copied()))
        }
        _ => Ok(()),
    }
}

fn never_word<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> CheckError {
    let known: Vec<&str> = known.filter(|word| !word.is_empty()).collect();
    CheckError::NeverWord {
        word: word.to_owned(),
        known: known.join(", "),
    }
}

fn comparable(a: &Type, b: &Type) -> Result<(), CheckError> {
    let ordered =
        |kind: &Type| kind.is_text() || kind.is_bool() || matches!(kind, Type::Number | Type::Time);
    if ordered(a) && ordered(b) && a.may_equal(b) {
        return Ok(());
    }
    let (left, right) = (a.name(), b.name());
    Err(CheckError::NeverEqual { left, right })
}

fn arithmetic(function: &str, kind: &Type) -> Result<(), CheckError> {
    let counts = |kind: &Type| matches!(kind, Type::Any | Type::Number | Type::Time);
    wants(function, kind, "a number", counts)
}

fn wants(
    function: &str,
    got: &Type,
    wants: &'static str,
    fits: impl Fn(&Type) -> bool,
) -> Result<(), CheckError> {
    if fits(got) {
        return Ok(());
    }
    Err(CheckError::Argument {
        function: function.trim_matches('_').to_owned(),
        wants,
        got: got.name(),
    })
}

fn wants_all(
    function: &str,
    got: &[Type],
    wanted: &'static str,
    fits: impl Fn(&Type) -> bool,
) -> Result<(), CheckError> {
    got.iter()
        .try_for_each(|kind| wants(function, kind, wanted, &fits))
}
