//! The program killed at every named crash point, cut off from its readers, and without space on its disk: what was
//! acknowledged must still be there, and nothing may have happened twice. It starts the real program on real stores
//! and looks at nothing but its API.

#[cfg(target_os = "linux")]
mod clocks;
mod database;
mod disk;
mod failover;
mod fleet;
mod freeze;
mod labels;
mod lies;
mod mcp;
#[cfg(target_os = "linux")]
mod power;
mod promoted;
mod repeats;
mod replicas;
mod storm;
mod streams;
mod sweep;
#[cfg(target_os = "linux")]
mod syscalls;

/// A number that makes a test longer or repeats it.
fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{variable} is no number: {text:?}")))
}

fn nats() -> String {
    std::env::var("RUNYARD_TEST_NATS").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned())
}
