//! Every limit of the gateway with its default, in one place.

use std::time::Duration;

/// Bytes of one call's arguments as text.
pub const ARGUMENT_BYTES_MAX: usize = 256 << 10;

/// Levels of objects and arrays in arguments.
pub const ARGUMENT_DEPTH_MAX: usize = 64;

/// Failures of a schema that are told at once.
pub const SCHEMA_FAILURES_MAX: usize = 5;

/// Characters of one failure's message.
pub const FAILURE_CHARS_MAX: usize = 300;

/// Bytes of a tool's input schema as text.
pub const SCHEMA_BYTES_MAX: usize = 256 << 10;

/// Levels of objects and arrays in a schema.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// Rules that a schema may amount to once every reference is replaced by what it names.
pub const SCHEMA_EXPANDED_MAX: u64 = 20_000;

/// References of a schema that may follow one another.
pub const SCHEMA_CHAIN_MAX: u64 = 64;

/// References that may be followed within each other while arguments are checked; each takes some stack.
pub const SCHEMA_STACK_MAX: u64 = 512;

/// Steps that checking arguments may take, by estimate; a tenth of them for a schema that refers to itself.
pub const SCHEMA_STEPS_MAX: u64 = 200_000_000;

/// Bytes of one compiled pattern of a schema.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Characters of a tool's name.
pub const NAME_CHARS_MAX: usize = 64;

/// How long a call may take if its tool does not say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(20);

/// The longest time limit that a tool may set.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Bytes of a result if its tool does not say.
pub const RESULT_BYTES_DEFAULT: usize = 64 << 10;

/// The least and the most that a tool may set for the bytes of its result.
pub const RESULT_BYTES_MIN: usize = 256;
pub const RESULT_BYTES_MAX: usize = 4 << 20;

/// Calls of one tool at once if it does not say.
pub const CONCURRENCY_DEFAULT: usize = 64;

/// The most that a tool may set for its calls at once.
pub const CONCURRENCY_MAX: usize = 10_000;

/// Rows of a SQL tool's result if it does not say, and the most that it may set.
pub const ROWS_DEFAULT: usize = 200;
pub const ROWS_MAX: usize = 10_000;

/// Connections to one database, for reading; writing on SQLite takes one.
pub const CONNECTIONS: usize = 8;

/// Bytes of one value in a SQLite row.
pub const SQLITE_VALUE_BYTES_MAX: i32 = 16 << 20;

/// How long a connection may take to be made, for HTTP and PostgreSQL.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Redirects that an HTTP tool may allow.
pub const REDIRECTS_MAX: usize = 5;

/// Agents whose tool lists are kept ready.
pub const SPEC_LISTS_MAX: usize = 1_024;

/// How long an MCP server may take to answer the handshake and tell its tools, if its settings do not say.
pub const MCP_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an MCP server's list of tools is read again.
pub const MCP_REFRESH: Duration = Duration::from_secs(300);

/// Bytes of one message of an MCP server, and the most that its settings may allow.
pub const MCP_MESSAGE_BYTES_DEFAULT: usize = 8 << 20;
pub const MCP_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Calls of one MCP server's tools at once if its settings do not say.
pub const MCP_CONCURRENCY_DEFAULT: usize = 32;

/// Pages and tools of an MCP server's list; what is beyond is not offered.
pub const MCP_PAGES_MAX: usize = 50;
pub const MCP_TOOLS_MAX: usize = 512;

/// Bytes of an MCP tool's description; a longer one is not offered.
pub const MCP_DESCRIPTION_BYTES_MAX: usize = 16 << 10;

/// Messages within `MCP_NOISE_WINDOW` that answer nothing, before an MCP server counts as flooding and is cut off.
pub const MCP_NOISE_MAX: u32 = 5_000;
pub const MCP_NOISE_WINDOW: Duration = Duration::from_secs(10);

/// The first and the longest wait before an MCP server is started again.
pub const MCP_RETRY_FIRST: Duration = Duration::from_millis(500);
pub const MCP_RETRY_MAX: Duration = Duration::from_secs(60);

/// How long a call waits for an MCP server that is being started, and for one that failed.
pub const MCP_START_WAIT: Duration = Duration::from_secs(15);
pub const MCP_RESTART_WAIT: Duration = Duration::from_secs(2);

/// Bytes of a result that is kept whole when it is too long for a model; a longer one is not.
pub const KEPT_BYTES_MAX: usize = 4 << 20;

/// Bytes of kept results of one org; the oldest make room for new ones.
pub const KEPT_ORG_BYTES_MAX: u64 = 256 << 20;

/// How long a kept result can be read.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Characters that one reading of a kept result gives if it does not say, and the most that it gives.
pub const READ_CHARS_DEFAULT: usize = 8_000;
pub const READ_CHARS_MAX: usize = 32_000;

/// Bytes of one condition of a rule or grant.
pub const CONDITION_BYTES_MAX: usize = 1 << 10;

/// Parentheses, calls and lists within each other in a condition's text.
pub const CONDITION_NESTING_MAX: u16 = 32;

/// Levels of a condition's parsed form; a chain of `a.b.c` is as deep as it is long.
pub const CONDITION_DEPTH_MAX: usize = 64;

/// Walks over a list (`all`, `exists`, `filter`) in one condition; none may stand inside another.
pub const CONDITION_WALKS_MAX: usize = 4;

/// Entries of one list or object that conditions are shown, and values of one variable in all. A variable with more
/// cannot be evaluated, which counts as a match.
pub const CONDITION_LIST_MAX: usize = 256;
pub const CONDITION_VALUES_MAX: usize = 4_096;

/// Stack of the threads that evaluate conditions. An unoptimised interpreter takes about 20 KiB for a level.
pub const CONDITION_STACK: usize = 8 << 20;

/// Stack of the thread that checks one condition, whose depth is not known yet.
pub const CONDITION_CHECK_STACK: usize = 64 << 20;

/// Threads that evaluate conditions.
pub const CONDITION_THREADS: usize = 2;
