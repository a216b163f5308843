//! Tools from the configuration. The one place that knows every kind.

use super::catalog::Catalog;
use super::policies::PolicyConfig;
use crate::builtin::{self, Means};
use crate::config::{Common, DatabaseConfig, EgressConfig, Kind, ToolConfig, ToolConfigs};
use crate::egress::{Egress, Lookup};
use crate::error::ConfigError;
use crate::executor::{Definition, Executor, RESERVED, Tool, is_name, outside};
use crate::http::HttpTool;
use crate::limits;
use crate::probe;
use crate::rules::Rule;
use crate::schema::Schema;
use crate::sql::{Databases, SqlTool};
use domain::approval::AskOptions;
use domain::policy::{Label, Labels};
use domain::ports::clock::Clock;
use domain::ports::store::ResultStore;
use domain::tool::Effect;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a gateway is built from.
pub struct Setup<'a> {
    pub tools: ToolConfigs,
    pub databases: BTreeMap<String, DatabaseConfig>,
    pub egress: EgressConfig,
    pub policy: PolicyConfig,
    /// How approvals of every tool are decided.
    pub asking: AskOptions,
    pub clock: Arc<dyn Clock>,
    /// Where results are kept that are too long for a model; `None` keeps none.
    pub results: Option<Arc<dyn ResultStore>>,
    /// Resolves host names; `egress::System` outside tests.
    pub lookup: Arc<dyn Lookup>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative paths of SQLite files begin.
    pub data: &'a Path,
}

/// What kinds of tools need beside their own settings.
struct Surroundings<'a> {
    databases: Databases,
    egress: Arc<Egress>,
    means: Means,
    env: &'a dyn Fn(&str) -> Option<String>,
}

pub(super) fn tools(setup: Setup<'_>) -> Result<Vec<Tool>, ConfigError> {
    let surroundings = Surroundings {
        databases: Databases::open(setup.databases, setup.env, setup.data)?,
        egress: Arc::new(Egress::with_lookup(&setup.egress, setup.lookup)?),
        means: Means {
            clock: setup.clock,
            results: setup.results,
        },
        env: setup.env,
    };
    let mut tools = Vec::new();
    for (name, config) in setup.tools.0 {
        tools.extend(offered(name, config, &surroundings)?);
    }
    probe::check(&tools)?;
    Ok(tools)
}

/// What one table of the configuration offers: one tool for each kind so far. Tools that another server offers are not
/// known yet at this time; they join by `Gateway::replace`.
fn offered(
    name: String,
    config: ToolConfig,
    around: &Surroundings<'_>,
) -> Result<Vec<Tool>, ConfigError> {
    let ToolConfig { common, kind } = config;
    let has_schema = common.input_schema.is_some();
    let has_effect = common.effect.is_some();
    let has_description = !common.description.is_empty();
    let labels = common.labels;
    let mut definition = definition(name, common)?;
    let tool = definition.name.clone();
    let executor: Arc<dyn Executor> = match kind {
        Kind::Sql(config) => {
            let schema = schema(&definition)?;
            definition.labels = of_sql(definition.effect, config.writes);
            let sql = SqlTool::build(&definition, &config, &around.databases)?;
            takes_exactly(&tool, &schema, "a statement", sql.parameters())?;
            Arc::new(sql)
        }
        Kind::Http(config) => {
            let schema = schema(&definition)?;
            let http = HttpTool::build(&definition, &config, &around.egress, around.env)?;
            if let Some(parameter) = http.in_path().find(|name| !is_certain(&schema, name)) {
                let parameter = parameter.to_owned();
                return Err(ConfigError::OptionalInPath { tool, parameter });
            }
            takes_exactly(&tool, &schema, "the request", http.parameters())?;
            Arc::new(http)
        }
        // Its server tells the rest, and offers it under this name.
        Kind::Mcp(_) => return Ok(Vec::new()),
        Kind::Builtin(config) => {
            for (is_set, setting) in [(has_schema, "`input_schema`"), (has_effect, "`effect`")] {
                if is_set {
                    return Err(ConfigError::BuiltinSetting { tool, setting });
                }
            }
            let name = config.builtin.unwrap_or_else(|| tool.clone());
            let Some(builtin) = builtin::find(&name, &around.means) else {
                let builtin = name;
                return Err(ConfigError::UnknownBuiltin { tool, builtin });
            };
            if !has_description {
                definition.description = builtin.description.to_owned();
            }
            definition.input_schema = builtin.input_schema;
            definition.effect = builtin.effect;
            definition.labels = Labels::NONE;
            builtin.executor
        }
    };
    definition.labels = labels.unwrap_or(definition.labels);
    Ok(vec![Tool::new(definition, executor)?])
}

/// Whether a tool could have this name and these settings.
pub(crate) fn check(name: &str, common: &Common) -> Result<(), ConfigError> {
    if !is_name(name) {
        let tool = name.to_owned();
        return Err(ConfigError::Name { tool });
    }
    definition(name.to_owned(), common.clone()).map(drop)
}

/// The operator's own database: what is in it is not for everybody, and nobody outside writes there unless the operator
/// says so with `labels`.
fn of_sql(effect: Effect, writes: bool) -> Labels {
    let changes = (writes || effect != Effect::Idempotent).then_some(Label::ChangesState);
    [Label::ReadsPrivate].into_iter().chain(changes).collect()
}

/// A rule for named tools that looks at an argument which none of them has would never match, or always fail.
pub(super) fn fields_exist<'a>(
    rules: impl Iterator<Item = &'a Arc<Rule>>,
    catalog: &Catalog,
) -> Result<(), ConfigError> {
    for rule in rules {
        let names = &rule.text().tools;
        let tools: Vec<_> = names.iter().filter_map(|name| catalog.get(name)).collect();
        // Tools that another server offers are not known yet.
        if names.is_empty() || tools.len() < names.len() {
            continue;
        }
        let is_taken = |field: &&str| tools.iter().any(|tool| tool.schema.allows(field));
        if let Some(field) = rule.fields().find(|field| !is_taken(field)) {
            return Err(ConfigError::RuleField {
                rule: rule.text().name.clone(),
                field: field.to_owned(),
                tools: names.join(", "),
            });
        }
    }
    Ok(())
}

fn definition(name: String, common: Common) -> Result<Definition, ConfigError> {
    let range = |setting, allowed| ConfigError::Range {
        tool: name.clone(),
        setting,
        allowed,
    };
    let timeout = Duration::try_from_secs_f64(common.timeout_s)
        .ok()
        .filter(|timeout| !timeout.is_zero() && *timeout <= limits::TIMEOUT_MAX)
        .ok_or_else(|| range("timeout_s", "more than 0 and at most 3600"))?;
    if !(limits::RESULT_BYTES_MIN..=limits::RESULT_BYTES_MAX).contains(&common.max_result_bytes) {
        return Err(range("max_result_bytes", "between 256 and 4194304"));
    }
    if !(1..=limits::CONCURRENCY_MAX).contains(&common.max_concurrency) {
        return Err(range("max_concurrency", "between 1 and 10000"));
    }
    if let Some(flaw) = common.approval.flaw() {
        return Err(ConfigError::Approval { tool: name, flaw });
    }
    Ok(Definition {
        description: common.description,
        input_schema: common.input_schema.unwrap_or_default(),
        effect: common.effect.unwrap_or_default(),
        policy: common.policy,
        risk: common.risk,
        data_from: None,
        labels: outside(common.effect.unwrap_or_default()),
        asking: common.approval,
        probe: common.probe,
        timeout,
        result_bytes_max: common.max_result_bytes,
        concurrency_max: common.max_concurrency,
        name,
    })
}

fn schema(definition: &Definition) -> Result<Schema, ConfigError> {
    let schema = Schema::compile(definition.input_schema.clone());
    let tool = || definition.name.clone();
    let schema = schema.map_err(|source| ConfigError::Schema {
        tool: tool(),
        source,
    })?;
    if let Some(property) = schema
        .properties()
        .find(|name| name.starts_with("runyard_"))
    {
        return Err(ConfigError::ReservedProperty {
            tool: tool(),
            property: property.to_owned(),
        });
    }
    Ok(schema)
}

/// Whether a parameter has a value in every call.
fn is_certain(schema: &Schema, parameter: &str) -> bool {
    RESERVED.contains(&parameter) || schema.requires(parameter)
}

/// What is taken must be in the schema, and what is in the schema must be taken: either slip is a typing error that
/// would otherwise show as a tool that quietly does something else.
fn takes_exactly(
    tool: &str,
    schema: &Schema,
    place: &'static str,
    taken: &BTreeSet<String>,
) -> Result<(), ConfigError> {
    let known: BTreeSet<&str> = schema.properties().collect();
    for parameter in taken {
        if !known.contains(parameter.as_str()) && !RESERVED.contains(&parameter.as_str()) {
            return Err(ConfigError::UnknownParameter {
                tool: tool.to_owned(),
                place,
                parameter: parameter.clone(),
            });
        }
    }
    if taken.contains("runyard_arguments") {
        return Ok(());
    }
    match known.into_iter().find(|name| !taken.contains(*name)) {
        Some(property) => Err(ConfigError::UnusedProperty {
            tool: tool.to_owned(),
            property: property.to_owned(),
        }),
        None => Ok(()),
    }
}
