//! The scripted model server seen from outside: every wire, every fault, byte for byte.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at that line"
)]

mod binary;
mod captures;
mod client;
mod errors;
mod fast;
mod faults;
mod histories;
mod hostile;
mod reader;
mod scripts;
mod wires;
