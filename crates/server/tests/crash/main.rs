//! The program killed at every named crash point, cut off from its readers, and without space on its disk: what was
//! acknowledged must still be there, and nothing may have happened twice. It starts the real program on real stores
//! and looks at nothing but its API.

mod clients;
#[cfg(target_os = "linux")]
mod clocks;
mod database;
mod disk;
mod failover;
mod frames;
mod freeze;
mod history;
mod http;
mod kinds;
mod labels;
mod ledger;
mod lies;
mod limit;
mod mcp;
#[cfg(target_os = "linux")]
mod power;
mod program;
mod promoted;
mod proxy;
mod repeats;
mod replicas;
mod sessions;
mod storm;
mod streams;
mod sweep;
#[cfg(target_os = "linux")]
mod syscalls;
mod world;
