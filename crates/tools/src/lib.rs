//! The gateway between agents and the world: which tools there are, whether a call may run, and its execution.
//! It does not know runs' states, stores or the HTTP API, and reads no environment: settings arrive as values.

pub mod arguments;
pub mod builtin;
pub mod config;
pub mod egress;
pub mod error;
pub mod executor;
pub mod fleet;
mod gate;
mod gateway;
mod http;
pub mod limits;
pub mod mcp;
pub mod openapi;
pub mod probe;
pub mod rules;
pub mod schema;
mod sql;

pub use config::{DatabaseConfig, EgressConfig, ToolConfig, ToolConfigs};
pub use error::ConfigError;
pub use executor::{Definition, Ended, Executor, Tool, Unforgotten, Work};
pub use gate::{Gate, Gates};
pub use gateway::{
    Deliberation, Explained, Gateway, NameTaken, PlacedRule, PolicyConfig, RuleOfTwo, Setup,
};
