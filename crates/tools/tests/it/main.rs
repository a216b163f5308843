//! The gateway on real databases, real sockets and real HTTP.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at that line"
)]

mod approve;
mod binding;
mod config;
mod dispatch;
mod egress;
mod fleet;
mod http;
mod mcp;
mod mcp_trouble;
mod mcp_world;
mod oauth;
mod openapi;
mod plan;
mod policy;
mod sql;
mod support;
