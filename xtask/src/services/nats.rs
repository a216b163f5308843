//! Knocks at a NATS server and starts a private one; core NATS only, nothing is stored.

use super::address::Address;
use super::started::{Folder, Server, free_port};
use crate::places;
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader};
use std::process::Command;

/// Succeeds if a NATS server answers and asks for no more than the URL holds.
///
/// A server speaks first: `INFO {json}` (NATS client protocol, "INFO").
pub fn ask(address: &Address) -> anyhow::Result<()> {
    let mut greeting = String::new();
    BufReader::new(address.connect()?).read_line(&mut greeting)?;
    if !greeting.starts_with("INFO ") {
        bail!("what answers there is not NATS");
    }
    if greeting.contains("\"auth_required\":true") && address.user.is_none() {
        bail!("it wants a login");
    }
    Ok(())
}

/// Whether the server's program is on this machine.
pub fn installed() -> bool {
    places::find_program("nats-server").is_some()
}

/// Starts a server on a free port; returns it with its URL once it answers.
pub fn start(folder: &Folder) -> anyhow::Result<(Server, String)> {
    let program = places::find_program("nats-server").context("nats-server is not installed")?;
    let url = format!("nats://127.0.0.1:{}", free_port()?);
    let address = Address::parse(&url)?;
    let mut command = Command::new(program);
    command.args(["--addr", &address.host, "--port", &address.port.to_string()]);
    let mut server = Server::start("nats-server", &command, None, folder)?;
    server.wait(|| ask(&address))?;
    Ok((server, url))
}
