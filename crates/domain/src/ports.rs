//! What the engine and the server need of the outside, as traits: the only ones in the project.

pub mod bus;
pub mod clock;
mod fault;
pub mod gate;
pub mod grants;
pub mod holds;
pub mod logins;
pub mod model;
pub mod record;
pub mod store;
pub mod tools;
mod workers;
