//! The program as a person or a script uses it: started as a process on folders of its own, against a scripted model.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, and says where"
)]

mod agents;
mod approvals;
mod backup;
mod cluster;
mod database;
mod demo;
mod doctor;
mod documents;
mod first_start;
mod keys;
mod lanes;
mod logins;
mod mcp;
mod moving;
mod policy;
mod program;
mod prove;
mod seen;
mod serve;
mod settings;
mod stop;
mod talk;
mod webhooks;
