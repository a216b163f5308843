//! What can be wrong with the settings of tools; every variant names its tool, database or setting.

use crate::egress::PatternError;
use crate::http::TemplateError;
use crate::rules::RuleError;
use crate::schema::SchemaError;
use crate::sql::{DatabaseError, StatementError};

/// A setting cannot be used; the server does not start with it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "tool `{tool}`: a name has 1 to 64 letters, digits, `_` and `-`, and models are strict about it"
    )]
    Name { tool: String },
    #[error("tool `{tool}`: `{setting}` must be {allowed}")]
    Range {
        tool: String,
        setting: &'static str,
        allowed: &'static str,
    },
    #[error("tool `{tool}`: `approval`: {flaw}")]
    Approval { tool: String, flaw: &'static str },
    #[error("tool `{tool}`: its probe `{probe}` {flaw}")]
    Probe {
        tool: String,
        probe: String,
        flaw: &'static str,
    },
    #[error("{owner}: the environment variable `{variable}` is not set")]
    Unset { owner: String, variable: String },
    #[error("tool `{tool}`: `input_schema` cannot be used")]
    Schema {
        tool: String,
        #[source]
        source: SchemaError,
    },
    #[error(
        "tool `{tool}`: a property of `input_schema` may not begin with `runyard_`: `{property}`"
    )]
    ReservedProperty { tool: String, property: String },
    #[error("tool `{tool}`: there is no `[databases.{database}]`; there are: {known}")]
    UnknownDatabase {
        tool: String,
        database: String,
        known: String,
    },
    #[error("tool `{tool}`: it writes, but `[databases.{database}]` is read-only")]
    ReadOnlyDatabase { tool: String, database: String },
    #[error(
        "tool `{tool}`: `effect = \"keyed\"` needs `writes = true`, since the key is recorded beside the write"
    )]
    KeyedRead { tool: String },
    #[error("tool `{tool}`: {place} takes `{parameter}`, which `input_schema` does not have")]
    UnknownParameter {
        tool: String,
        place: &'static str,
        parameter: String,
    },
    #[error("tool `{tool}`: `input_schema` has `{property}`, which nothing of the tool takes")]
    UnusedProperty { tool: String, property: String },
    #[error(
        "tool `{tool}`: `{parameter}` stands in the path of the URL, so `input_schema` must require it"
    )]
    OptionalInPath { tool: String, parameter: String },
    #[error("tool `{tool}`: statement {number} cannot be used")]
    Statement {
        tool: String,
        number: usize,
        #[source]
        source: StatementError,
    },
    #[error("database `{database}` cannot be used")]
    Database {
        database: String,
        #[source]
        source: DatabaseError,
    },
    #[error("tool `{tool}`: {place} cannot be used")]
    Template {
        tool: String,
        place: String,
        #[source]
        source: TemplateError,
    },
    #[error("tool `{tool}`: no HTTP client can be made")]
    Client {
        tool: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("tool `{tool}`: there is no builtin `{builtin}`; there are: current_time, read_result")]
    UnknownBuiltin { tool: String, builtin: String },
    #[error("tool `{tool}`: there is no `[mcp.{server}]`")]
    UnknownServer { tool: String, server: String },
    #[error("tool `{tool}`: the MCP server brings its own {setting}")]
    ServersSetting { tool: String, setting: &'static str },
    #[error("tool `{tool}`: `{picked}` of the MCP server `{server}` has a table already")]
    PickedTwice {
        tool: String,
        server: String,
        picked: String,
    },
    #[error("MCP server `{server}`: {what}")]
    Mcp { server: String, what: String },
    #[error("tool `{tool}`: a builtin brings its own {setting}")]
    BuiltinSetting { tool: String, setting: &'static str },
    #[error("{place}: rule `{rule}` cannot be used")]
    Rule {
        place: String,
        rule: String,
        #[source]
        source: RuleError,
    },
    #[error("{place}: there is another rule `{rule}` at this level")]
    RuleTwice { place: String, rule: String },
    #[error("rule `{rule}` looks at `args.{field}`, which none of its tools has: {tools}")]
    RuleField {
        rule: String,
        field: String,
        tools: String,
    },
    #[error("egress: `{setting}` cannot be used")]
    Egress {
        setting: &'static str,
        #[source]
        source: PatternError,
    },
}
