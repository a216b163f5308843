//! Rules on calls and ceilings of days as the file spells them, with the lines of the rules. What follows from them is the
//! gateway's and the engine's.

use super::ConfigError;
use super::file::File;
use super::layers::Layers;
use domain::OrgId;
use domain::budget::DayBudget;
use domain::policy::RuleText;
use engine::DayBudgets;
use serde::Deserialize;
use toml::Spanned;
use tools::{PlacedRule, PolicyConfig, RuleOfTwo};

/// `[policy]`: what holds for every org.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTable {
    #[serde(default)]
    pub rules: Vec<Spanned<RuleText>>,
    #[serde(default)]
    pub rule_of_two: RuleOfTwo,
    /// Of every org that has none of its own.
    #[serde(default)]
    pub budget: DayTable,
}

/// Ceilings of one day.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayTable {
    pub max_steps: Option<u64>,
    pub max_tokens: Option<u64>,
    pub max_cost_usd: Option<Dollars>,
}

/// A sum of money, 0 or more.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
pub struct Dollars(u64);

impl TryFrom<f64> for Dollars {
    type Error = &'static str;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be 0..=1e9 dollars"
    )]
    fn try_from(dollars: f64) -> Result<Self, &'static str> {
        if !(0.0..=1e9).contains(&dollars) {
            return Err("must be a number of dollars, 0 or more");
        }
        Ok(Self((dollars * 1e6).round() as u64))
    }
}

impl From<DayTable> for DayBudget {
    fn from(table: DayTable) -> Self {
        Self {
            max_steps: table.max_steps,
            max_tokens: table.max_tokens,
            max_cost_micro_usd: table.max_cost_usd.map(|dollars| dollars.0),
        }
    }
}

impl Layers<'_> {
    /// Ceilings of orgs' days; names that no org can have are refused.
    pub(super) fn budgets(&self) -> Result<DayBudgets, ConfigError> {
        let Some(file) = self.file else {
            return Ok(DayBudgets::default());
        };
        let mut budgets = DayBudgets {
            each_org: file.tables.policy.budget.into(),
            ..DayBudgets::default()
        };
        for (name, org) in &file.tables.orgs {
            let id = OrgId::new(name.get_ref()).map_err(|_| ConfigError::Syntax {
                path: file.path.clone(),
                line: file.line(name.span().start),
                message: format!("`{}` is no name of an org", name.get_ref()),
            })?;
            if let Some(budget) = org.budget {
                budgets.orgs.insert(id, budget.into());
            }
        }
        Ok(budgets)
    }
}

/// The rules with their lines.
pub(super) fn policy(file: &File) -> PolicyConfig {
    let placed = |rules: &[Spanned<RuleText>]| -> Vec<PlacedRule> {
        let rules = rules.iter().map(|rule| PlacedRule {
            text: rule.get_ref().clone(),
            place: format!("{}:{}", file.path.display(), file.line(rule.span().start)),
        });
        rules.collect()
    };
    let orgs = file.tables.orgs.iter();
    PolicyConfig {
        rules: placed(&file.tables.policy.rules),
        orgs: orgs
            .map(|(name, org)| (name.get_ref().clone(), placed(&org.rules)))
            .collect(),
        rule_of_two: file.tables.policy.rule_of_two,
    }
}
