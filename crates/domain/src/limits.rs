//! Every limit of the engine with its default, in one place. The server's own limits (bodies, headers) are in its
//! configuration.

use std::time::Duration;

/// Numbers reserved in a run's event sequence for one attempt of a model turn. A process that died in mid-turn may have
/// told watchers of any of them, so the next attempt begins past the block. An attempt that would need more fails.
pub const TURN_EVENTS_MAX: u64 = 1 << 20;

/// Bytes of text and reasoning of one model turn.
pub const TURN_BYTES_MAX: usize = 8 << 20;

/// Attempts of one model turn before the run fails.
pub const TURN_ATTEMPTS_MAX: u32 = 4;

/// Turns in a row in which no call of the model could be read.
pub const MALFORMED_TURNS_MAX: u32 = 3;

/// Tool calls that one model turn may ask for.
pub const CALLS_PER_TURN_MAX: usize = 64;

/// Model turns that one response of a session may take where its tools are run here.
pub const RESPONSE_ROUNDS_MAX: u32 = 64;

/// Times that a run may take its worker down before it is set aside.
pub const CRASHES_MAX: u32 = 3;

/// Messages of one run's input.
pub const INPUT_MESSAGES_MAX: usize = 256;

/// Runs waiting on one thread.
pub const QUEUED_PER_THREAD_MAX: u32 = 100;

/// Characters of a thread's last message shown in lists.
pub const PREVIEW_CHARS_MAX: usize = 200;

/// Characters of a run's summary taken from its last message.
pub const SUMMARY_CHARS_MAX: usize = 2_000;

/// Threads, runs or approvals on one page.
pub const PAGE_MAX: u32 = 50;

/// How long a worker may be silent before its runs are taken over.
pub const LEASE: Duration = Duration::from_secs(8);

/// How often a worker renews its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// How often the sweep looks for runs that no wake-up told of.
pub const SWEEP: Duration = Duration::from_secs(2);

/// How long a write to a run is tried again against other processes that write it too.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// How long an approval waits before it counts as denied.
pub const APPROVAL_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// People who may be needed for one approval.
pub const APPROVERS_MAX: u32 = 16;

/// Responses that a chain may hold.
pub const CHAIN_DEPTH_MAX: u32 = 10_000;

/// Bytes of text that a chain of responses may hold.
pub const CHAIN_BYTES_MAX: u64 = 32 << 20;

/// Entries of one session's journal, and of one report.
pub const JOURNAL_ENTRIES_MAX: u64 = 10_000;
pub const JOURNAL_REPORT_MAX: usize = 256;

/// Bytes of one entry's text, and of all of a session's.
pub const JOURNAL_ENTRY_BYTES_MAX: usize = 64 << 10;
pub const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// How long a response can be continued.
pub const RESPONSE_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a grant may last, and how long it does if nothing is said.
pub const GRANT_TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
pub const GRANT_TTL: Duration = Duration::from_secs(24 * 3600);

/// Calls that a grant may let through, and how many it does if nothing is said.
pub const GRANT_USES_MAX: u32 = 1_000;
pub const GRANT_USES: u32 = 10;

/// Live grants of one agent and tool that are tried on a call, the newest first.
pub const GRANTS_TRIED_MAX: u32 = 20;

/// Uses of one grant that are listed, the newest first.
pub const GRANT_USES_SHOWN_MAX: u32 = 1_000;
