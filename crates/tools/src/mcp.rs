//! Tools that Model Context Protocol servers offer: which servers the operator declared, what is trusted of them, and
//! the calls of their tools. It does not know who calls or whether a call may run: that is the gateway's.
//!
//! A server here is somebody else's program. It may hang, lie, flood or die; nothing of that may reach another server,
//! another call, or the start of ours.

mod call;
pub mod config;
mod connection;
mod content;
mod lines;
mod link;
pub mod oauth;
mod offer;
mod process;
mod remote;
mod server;
mod servers;
mod unpinned;

pub use call::KEY_FIELD;
pub use config::{McpConfig, McpToolConfig};
pub use server::{Health, ServerStatus, ToolState, ToolStatus};
pub(crate) use servers::reserved;
pub use servers::{Servers, Setup};
pub use unpinned::Unpinned;

/// What stands between a server's name and a tool's; no server's name may hold it.
pub const BETWEEN: &str = "__";

/// The source of a server's tools in the gateway's catalog.
pub(crate) fn source(server: &str) -> String {
    format!("mcp:{server}")
}
