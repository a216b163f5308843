//! A PostgreSQL database of a scenario's own, gone when it is measured. It does not know what is stored there.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Dropped with this value.
pub struct Database {
    server: String,
    pub name: String,
}

impl Database {
    pub fn create(server: &str) -> anyhow::Result<Self> {
        let name = format!("runyard_bench_{}", std::process::id());
        let done =
            psql(server, &format!("create database {name}")).context("psql is not installed")?;
        ensure!(
            done,
            "PostgreSQL does not answer at the address that RUNYARD_TEST_POSTGRES or --postgres gives, or its user may not create databases; `cargo xtask services` starts one"
        );
        Ok(Self {
            server: server.to_owned(),
            name,
        })
    }

    /// The server's URL with this database's name in place of its own.
    pub fn url(&self) -> anyhow::Result<String> {
        let (base, _) = self
            .server
            .rsplit_once('/')
            .context("the URL of PostgreSQL names no database")?;
        Ok(format!("{base}/{}", self.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A failure leaves an empty-handed database behind; there is nobody to tell.
        let _ = psql(
            &self.server,
            &format!("drop database if exists {} with (force)", self.name),
        );
    }
}

fn psql(server: &str, statement: &str) -> std::io::Result<bool> {
    let status = Command::new("psql")
        .args([server, "--quiet", "--no-psqlrc", "--command", statement])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    Ok(status.success())
}
