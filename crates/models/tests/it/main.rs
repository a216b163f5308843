//! The models against a scripted model server that speaks each provider's wire, faults included.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests; the lint knows only functions that say so"
)]

mod cuts;
mod detect;
mod faults;
mod history;
mod lanes;
mod offline;
mod retries;
mod secrets;
mod support;
mod timeouts;
mod wires;
