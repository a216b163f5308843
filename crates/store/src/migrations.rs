//! The schema's steps and which of them a database still needs. How a step is run is each database's own affair.

use crate::OpenError;

/// One step of the schema. A released one never changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub version: i32,
    pub name: &'static str,
    pub sql: &'static str,
}

pub(crate) const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_initial",
        sql: include_str!("../migrations/sqlite/0001_initial.sql"),
    },
    Migration {
        version: 2,
        name: "0002_idempotency_holder",
        sql: include_str!("../migrations/sqlite/0002_idempotency_holder.sql"),
    },
    Migration {
        version: 4,
        name: "0004_mcp",
        sql: include_str!("../migrations/sqlite/0004_mcp.sql"),
    },
    Migration {
        version: 5,
        name: "0005_policies",
        sql: include_str!("../migrations/sqlite/0005_policies.sql"),
    },
    Migration {
        version: 6,
        name: "0006_audit_and_outbox",
        sql: include_str!("../migrations/sqlite/0006_audit_and_outbox.sql"),
    },
    Migration {
        version: 7,
        name: "0007_gate_cases",
        sql: include_str!("../migrations/sqlite/0007_gate_cases.sql"),
    },
    Migration {
        version: 8,
        name: "0008_sessions",
        sql: include_str!("../migrations/sqlite/0008_sessions.sql"),
    },
    Migration {
        version: 9,
        name: "0009_usage",
        sql: include_str!("../migrations/sqlite/0009_usage.sql"),
    },
    Migration {
        version: 10,
        name: "0010_late_answers",
        sql: include_str!("../migrations/sqlite/0010_late_answers.sql"),
    },
    Migration {
        version: 11,
        name: "0011_mcp_logins",
        sql: include_str!("../migrations/sqlite/0011_mcp_logins.sql"),
    },
    Migration {
        version: 12,
        name: "0012_holds",
        sql: include_str!("../migrations/sqlite/0012_holds.sql"),
    },
    Migration {
        version: 13,
        name: "0013_standing",
        sql: include_str!("../migrations/sqlite/0013_standing.sql"),
    },
];

pub(crate) const POSTGRES: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_initial",
        sql: include_str!("../migrations/postgres/0001_initial.sql"),
    },
    Migration {
        version: 2,
        name: "0002_idempotency_holder",
        sql: include_str!("../migrations/postgres/0002_idempotency_holder.sql"),
    },
    Migration {
        version: 4,
        name: "0004_mcp",
        sql: include_str!("../migrations/postgres/0004_mcp.sql"),
    },
    Migration {
        version: 5,
        name: "0005_policies",
        sql: include_str!("../migrations/postgres/0005_policies.sql"),
    },
    Migration {
        version: 6,
        name: "0006_audit_and_outbox",
        sql: include_str!("../migrations/postgres/0006_audit_and_outbox.sql"),
    },
    Migration {
        version: 7,
        name: "0007_gate_cases",
        sql: include_str!("../migrations/postgres/0007_gate_cases.sql"),
    },
    Migration {
        version: 8,
        name: "0008_sessions",
        sql: include_str!("../migrations/postgres/0008_sessions.sql"),
    },
    Migration {
        version: 9,
        name: "0009_usage",
        sql: include_str!("../migrations/postgres/0009_usage.sql"),
    },
    Migration {
        version: 10,
        name: "0010_late_answers",
        sql: include_str!("../migrations/postgres/0010_late_answers.sql"),
    },
    Migration {
        version: 11,
        name: "0011_mcp_logins",
        sql: include_str!("../migrations/postgres/0011_mcp_logins.sql"),
    },
    Migration {
        version: 12,
        name: "0012_holds",
        sql: include_str!("../migrations/postgres/0012_holds.sql"),
    },
    Migration {
        version: 13,
        name: "0013_standing",
        sql: include_str!("../migrations/postgres/0013_standing.sql"),
    },
];

/// A step that a database has behind it.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub version: i32,
    pub checksum: String,
}

impl Migration {
    /// FNV-1a of the text, 16 hex characters: it guards against edits by mistake, not against forgery.
    pub fn checksum(&self) -> String {
        let hash = self
            .sql
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{hash:016x}")
    }
}

/// What is left to run, or why this binary must not touch the database.
pub(crate) fn pending<'a>(
    known: &'a [Migration],
    applied: &[Applied],
) -> Result<&'a [Migration], OpenError> {
    let newest = applied.iter().map(|step| step.version).max().unwrap_or(0);
    let last = known.last().map_or(0, |step| step.version);
    if newest > last {
        return Err(OpenError::NewerSchema {
            found: newest,
            known: last,
        });
    }
    for (step, done) in known.iter().zip(applied) {
        if step.version != done.version || step.checksum() != done.checksum {
            return Err(OpenError::AlteredSchema {
                version: done.version,
            });
        }
    }
    Ok(&known[applied.len().min(known.len())..])
}
