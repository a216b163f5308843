//! The yardstick: measures this server beside a bare relay and the disk's own sync rate, in rounds that alternate, so
//! that what the machine does meanwhile falls on all alike. It knows the server only from outside, as a process and an
//! API; but for the gateway of tools, which is measured by itself.

mod arena;
mod client;
mod device;
mod disk;
mod load;
mod machine;
mod process;
mod relay;
mod report;
mod run;
mod scenarios;
mod sse;
mod stats;
mod turn;

pub use relay::{RelayArgs, serve as serve_relay};
pub use run::{RunArgs, run};
pub use scenarios::serve_mcp;
