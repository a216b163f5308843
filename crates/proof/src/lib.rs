//! The proof that servers keep what they promise, whatever happens to them: worlds around servers, clients with wishes,
//! blows, and the judgement afterwards. It starts real programs on real stores and looks at nothing but their API, so
//! that it can be run on any machine against any build.

pub mod clients;
pub mod cuts;
pub mod database;
pub mod dice;
pub mod fleet;
pub mod frames;
pub mod history;
pub mod http;
pub mod isolation;
pub mod judge;
pub mod kinds;
pub mod ledger;
pub mod limit;
pub mod program;
pub mod proxy;
pub mod recovery;
mod sessions;
pub mod storm;
pub mod world;
