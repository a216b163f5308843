//! Every limit that can be set, in one table with its default: `[limits]` in the file, `RUNYARD_LIMIT_…` in the
//! environment. It does not enforce any of them.

use crate::app::HttpSettings;
use domain::limits as fixed;
use engine::EngineSettings;
use std::time::Duration;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The key under `[limits]`; its ending is its unit.
    pub name: &'static str,
    pub default: u64,
    /// The smallest value that makes sense.
    pub least: u64,
    pub about: &'static str,
}

macro_rules! limits {
    ($($name:ident = $default:expr, $least:literal, $about:literal;)*) => {
        /// The limits of one server.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = $about] pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            pub const TABLE: &'static [Row] = &[$(Row {
                name: stringify!($name),
                default: $default,
                least: $least,
                about: $about,
            },)*];

            fn field(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

limits! {
    body_bytes_max = 4 << 20, 1024, "Bytes of one request's body; beyond it the answer is 413.";
    header_bytes_max = 32 << 10, 8192, "Bytes of one request's line and headers together.";
    headers_max = 100, 16, "Headers of one request.";
    header_timeout_s = 30, 1, "Seconds that a connection may take to send a request's headers.";
    body_timeout_s = 30, 1, "Seconds that a request may take to send its body.";
    send_timeout_s = 30, 1, "Seconds that a reader may take nothing before its connection is cut.";
    keepalive_s = 30, 1, "Seconds of silence before the system asks whether the other side is still there.";
    connections_max = 32_768, 1, "Connections open at once; more wait to be accepted.";
    stream_heartbeat_s = 15, 1, "Seconds of silence on a stream before a heartbeat is written.";
    key_ttl_ms = 2_000, 0, "Milliseconds that a key is believed without asking the store: the longest that a key revoked by another process works.";
    failed_logins_max = 30, 1, "Failed logins in a row from one address before it must wait.";
    failed_login_forgotten_ms = 2_000, 1, "Milliseconds in which one failed login is forgotten.";
    org_requests_per_s = 0, 0, "Requests that one org may send to this server in a second on average; beyond it the answer is 429 `rate_limited`. 0 sets no bound.";
    org_requests_burst = 100, 1, "Requests that one org may send at once before that average counts.";
    inbox_poll_ms = 1_000, 50, "Milliseconds between looks of the approvals' inbox for decisions made by other servers.";
    active_runs_max = 10_000, 1, "Runs at work in this process; more wait in the store.";
    claim_batch = 64, 1, "Runs taken from the store in one look.";
    tool_call_s = 900, 1, "Seconds that any tool call may take.";
    history_cache_bytes_max = 64 << 20, 0, "Bytes of conversation histories kept in memory.";
    lease_ms = 8_000, 1_000, "Milliseconds that a server may be silent before another takes its runs.";
    heartbeat_ms = 2_000, 100, "Milliseconds between renewals of that lease; well below `lease_ms`.";
    sweep_ms = 2_000, 100, "Milliseconds between looks for runs that no wake-up told of.";
    remote_poll_ms = 100, 10, "Milliseconds between looks for events that another server on the same PostgreSQL wrote.";
    call_ledger_kept_s = 2_592_000, 86_400, "Seconds that a keyed SQL tool's record of a call is kept; longer than a call can stand between its sending and its result, however long the server was away.";
    runs_kept_s = 0, 0, "Seconds that a run is kept after its end, with its steps, events, approvals and responses; 0 keeps all. Messages stay with their thread.";
    upkeep_s = 3_600, 1, "Seconds between looks for what is old enough to be cleared away.";
    drain_s = 20, 0, "Seconds that a server which is told to stop gives its runs to reach a good place.";
}

/// How long what is over is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How often to look.
    pub every: Duration,
    /// Keyed SQL tools' records of their calls.
    pub calls: Duration,
    /// Runs that have ended; `None` keeps them all.
    pub runs: Option<Duration>,
}

/// Why a limit was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("there is no limit of this name; there are {}", names())]
    Unknown,
    #[error("must be at least {0}")]
    TooLow(u64),
    #[error("must be a whole number")]
    NotANumber,
}

fn names() -> String {
    let names: Vec<&str> = Limits::TABLE.iter().map(|row| row.name).collect();
    names.join(", ")
}

impl Limits {
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), LimitError> {
        let row = Self::TABLE
            .iter()
            .find(|row| row.name == name)
            .ok_or(LimitError::Unknown)?;
        if value < row.least {
            return Err(LimitError::TooLow(row.least));
        }
        let field = self.field(name).ok_or(LimitError::Unknown)?;
        *field = value;
        Ok(())
    }

    /// The variable that sets the limit `name`.
    pub fn variable(name: &str) -> String {
        format!("RUNYARD_LIMIT_{}", name.to_uppercase())
    }

    /// The engine's dials from these limits. With a shared store other servers may write the same runs.
    pub fn engine(&self, shared_store: bool) -> EngineSettings {
        EngineSettings {
            lease: ms(self.lease_ms),
            heartbeat: ms(self.heartbeat_ms),
            sweep: ms(self.sweep_ms),
            claim_batch: u32::try_from(self.claim_batch).unwrap_or(u32::MAX),
            active_runs_max: size(self.active_runs_max),
            tool_limit: seconds(self.tool_call_s),
            history_cache_bytes: self.history_cache_bytes_max,
            remote_poll: shared_store.then(|| ms(self.remote_poll_ms)),
            ..EngineSettings::default()
        }
    }

    /// The dials of the HTTP surface from these limits.
    pub fn http(&self, allowed_hosts: Vec<String>, allowed_origins: Vec<String>) -> HttpSettings {
        HttpSettings {
            body_bytes_max: size(self.body_bytes_max),
            header_bytes_max: size(self.header_bytes_max),
            headers_max: size(self.headers_max),
            header_timeout: seconds(self.header_timeout_s),
            body_timeout: seconds(self.body_timeout_s),
            send_timeout: seconds(self.send_timeout_s),
            keepalive: seconds(self.keepalive_s),
            connections_max: size(self.connections_max),
            heartbeat: seconds(self.stream_heartbeat_s),
            key_ttl: ms(self.key_ttl_ms),
            failed_logins_max: u32::try_from(self.failed_logins_max).unwrap_or(u32::MAX),
            failed_login_forgotten_after: ms(self.failed_login_forgotten_ms),
            org_requests_per_s: u32::try_from(self.org_requests_per_s).unwrap_or(u32::MAX),
            org_requests_burst: u32::try_from(self.org_requests_burst).unwrap_or(u32::MAX),
            serves_api: true,
            allowed_hosts,
            allowed_origins,
            inbox_poll: ms(self.inbox_poll_ms),
            drain_timeout: self.drain(),
        }
    }

    /// How long what is over is kept.
    pub fn retention(&self) -> Retention {
        Retention {
            every: seconds(self.upkeep_s),
            calls: seconds(self.call_ledger_kept_s),
            runs: (self.runs_kept_s > 0).then(|| seconds(self.runs_kept_s)),
        }
    }

    pub fn drain(&self) -> Duration {
        seconds(self.drain_s)
    }
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What no setting changes, because stored runs and their machine depend on it.
const FIXED: &[(&str, u64, &str)] = &[
    (
        "Attempts of one model turn",
        fixed::TURN_ATTEMPTS_MAX as u64,
        "then the run fails",
    ),
    (
        "Bytes of text of one model turn",
        fixed::TURN_BYTES_MAX as u64,
        "then the run fails with `output_too_large`",
    ),
    (
        "Turns in a row whose tool calls cannot be read",
        fixed::MALFORMED_TURNS_MAX as u64,
        "then the run fails with `malformed_tool_calls`",
    ),
    (
        "Tool calls of one model turn",
        fixed::CALLS_PER_TURN_MAX as u64,
        "more are refused to the model",
    ),
    (
        "Times that a run may take its server down",
        fixed::CRASHES_MAX as u64,
        "then it is set aside as `poisoned`",
    ),
    (
        "Messages of one run's input",
        fixed::INPUT_MESSAGES_MAX as u64,
        "more are refused with 422",
    ),
    (
        "Runs waiting on one thread",
        fixed::QUEUED_PER_THREAD_MAX as u64,
        "more are refused with 429",
    ),
    (
        "Threads, runs or approvals on a page",
        fixed::PAGE_MAX as u64,
        "more come with the next cursor",
    ),
    (
        "Seconds that an approval waits",
        fixed::APPROVAL_EXPIRY.as_secs(),
        "then it counts as denied",
    ),
];

/// The tables as they stand in `docs/configuration.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "| Key under `[limits]` | Default | Least | What it bounds |\n|---|---|---|---|\n",
    );
    for row in Limits::TABLE {
        let line = format!(
            "| `{}` | {} | {} | {} |\n",
            row.name, row.default, row.least, row.about
        );
        text.push_str(&line);
    }
    text.push_str("\nThese are fixed:\n\n| Limit | Value | Beyond it |\n|---|---|---|\n");
    for (name, value, beyond) in FIXED {
        text.push_str(&format!("| {name} | {value} | {beyond} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- written by the test `documentation_lists_every_limit` -->\n";
    const END: &str = "<!-- end -->\n";

    /// With `RUNYARD_WRITE_DOCS=1` the document is written instead of compared.
    #[test]
    fn documentation_lists_every_limit() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (tables, after) = rest.split_once(END).unwrap();
        if std::env::var_os("RUNYARD_WRITE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", markdown())).unwrap();
        } else {
            assert_eq!(
                tables,
                markdown(),
                "run this test with RUNYARD_WRITE_DOCS=1 to mend the document"
            );
        }
    }

    #[test]
    fn limits_are_set_by_name_and_bounded() {
        let mut limits = Limits::default();
        assert_eq!(limits.set("body_bytes_max", 2048), Ok(()));
        assert_eq!(limits.body_bytes_max, 2048);
        assert_eq!(
            limits.set("body_bytes_max", 1),
            Err(LimitError::TooLow(1024))
        );
        assert_eq!(limits.set("no_such", 1), Err(LimitError::Unknown));
        assert_eq!(Limits::variable("drain_s"), "RUNYARD_LIMIT_DRAIN_S");
    }
}
