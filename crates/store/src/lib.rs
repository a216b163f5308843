//! Both databases behind the one port `domain::ports::store::Store`. Only this crate knows that there is SQL; it knows
//! neither what a run does nor who asks.

pub mod audit;
mod decode;
mod encode;
mod idempotency;
mod migrations;
mod open;
pub mod postgres;
pub mod sqlite;
pub mod transfer;
mod usage;

pub use open::{OpenError, OpenMode, Place, open, place};
