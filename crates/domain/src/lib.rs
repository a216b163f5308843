//! What exists in Runyard and what may happen to it: values, the run's state machine, and the ports that the
//! outer crates implement. It knows no I/O, no clock, no runtime and no wire.

pub mod agent;
pub mod approval;
pub mod audit;
pub mod budget;
pub mod context;
pub mod crash;
pub mod event;
pub mod failure;
pub mod gate;
pub mod grant;
pub mod ids;
pub mod journal;
pub mod kept;
pub mod key;
pub mod lane;
pub mod limits;
pub mod message;
pub mod pin;
pub mod policy;
pub mod ports;
pub mod response;
pub mod run;
pub mod seeded;
pub mod session;
pub mod step;
pub mod thread;
pub mod time;
pub mod tool;
pub mod usage;
pub mod webhook;

pub use ids::{
    ApprovalId, CallId, GrantId, KeyId, MessageId, OrgId, OrgScope, RunId, ThreadId, WorkerId,
};
pub use time::Timestamp;
