//! The models: lanes to providers, their wires, and the router that picks a lane for each turn and mends what can be
//! mended before its first token. It knows no store, no run and no tool; it reads no environment.

mod answer;
mod attempt;
mod breaker;
mod client;
mod config;
mod detect;
mod encode;
mod fault;
mod frames;
mod from_env;
mod json;
mod lane;
mod meter;
mod offline;
mod plain;
mod probe;
mod prompt;
mod random;
mod retry_after;
mod router;
mod transport;
mod wire;

pub use breaker::BreakerSettings;
pub use config::{ConfigError, LaneConfig, Price, Retries, Timeouts, Wire};
pub use detect::{Candidate, detect, detect_at, usual_places, with_listed_models};
pub use from_env::lanes_from_env;
pub use probe::{Probe, ProbeError, probe, probe_within};
pub use router::{Router, RouterSettings};
