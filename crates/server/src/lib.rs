//! Runyard's outside: HTTP, streams, settings, the registry of agents and the wiring. What runs do is decided below.

pub mod api;
pub mod app;
pub mod body;
pub mod caller;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod docs;
pub mod first_start;
pub mod front;
pub mod hosts;
pub mod idempotency;
pub mod keys;
pub mod listen;
pub mod logging;
pub mod openapi;
mod private_file;
pub mod problem;
pub mod registry;
pub mod router;
pub mod serve;
pub mod sse;
pub mod thread_types;
pub mod trial;
pub mod webhooks;
pub mod wire;
