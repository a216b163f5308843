//! What every store must do, run on each of them; and what only one of them can get wrong.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at that line"
)]

mod agents;
mod approvals;
mod audit;
mod budgets;
mod fixtures;
mod gates;
mod grants;
mod harness;
mod holds;
mod idempotency;
mod isolation;
mod keys;
mod late;
mod log;
mod logins;
mod migrations;
mod outbox;
mod pins;
mod postgres;
mod races;
mod results;
mod retention;
mod runs;
mod sessions;
mod sqlite;
mod threads;
mod usage;
mod workers;
