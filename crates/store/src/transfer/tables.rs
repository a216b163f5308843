//! Every table that is carried, with its columns in the order in which both schemas have them.

use super::cell::{Cell, Kind};

#[derive(Debug)]
pub(super) struct Table {
    pub name: &'static str,
    /// The columns of its key, in order.
    pub key: &'static [&'static str],
    pub columns: &'static [Column],
    /// How its rows belong to a run, where they do.
    pub part: Part,
}

#[derive(Debug)]
pub(super) struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// Which rows go along with one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// None.
    No,
    /// Those with its id in this column.
    OfRun(&'static str),
    /// Those with its thread's id in this column.
    OfThread(&'static str),
    /// Those with its id in the first column or its thread's in the second.
    OfEither(&'static str, &'static str),
}

impl Table {
    /// The place of a column among the columns.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Selects the rows in which these columns have what is bound to them in order, by its key. `mark` is what parameters
    /// begin with.
    pub fn selection(&self, columns: &[(&str, Cell)], mark: char) -> String {
        let tests: Vec<String> = (1..)
            .zip(columns)
            .map(|(place, (column, _))| format!("{column} = {mark}{place}"))
            .collect();
        format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            self.listed(),
            self.name,
            tests.join(" AND "),
            self.key.join(", ")
        )
    }

    /// The columns' names, for a statement.
    pub fn listed(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }
}

macro_rules! tables {
    ($($name:ident ($($key:ident),+) $part:expr => { $($column:ident $kind:ident),+ $(,)? })+) => {
        /// In the order in which they are carried. What a trigger would write comes before what sets it off.
        pub(super) const TABLES: &[Table] = &[$(Table {
            name: stringify!($name),
            key: &[$(stringify!($key)),+],
            columns: &[$(Column { name: stringify!($column), kind: Kind::$kind }),+],
            part: $part,
        }),+];
    };
}

tables! {
    orgs (org) Part::No => { org Text, created_at Int }
    api_keys (org, id) Part::OfRun("session") => {
        org Text, id Uuid, name Text, role Text, digest Bytes, session Uuid, created_at Int, expires_at Int,
        revoked_at Int, last_used_at Int,
    }
    agent_versions (agent_type, version) Part::No => { agent_type Text, version Text, body Text }
    chat_threads (org, id) Part::OfThread("id") => {
        org Text, id Uuid, agent_type Text, title Text, metadata Text, active_run Uuid, message_count Int4,
        last_message_preview Text, created_at Int, updated_at Int,
    }
    messages (org, thread, position) Part::OfThread("thread") => {
        org Text, thread Uuid, position Int4, id Uuid, body Text,
    }
    run_usage (org, ended_at, run) Part::No => {
        org Text, ended_at Int, run Uuid, agent_type Text, lane Text, key_id Text, key_name Text, status Text,
        input_tokens Int, output_tokens Int, cached_tokens Int, cost_micro_usd Int, estimated Bool,
    }
    runs (org, id) Part::OfRun("id") => {
        org Text, id Uuid, thread Uuid, agent_type Text, agent_version Text, status Text, runnable Bool, owner Uuid,
        epoch Int, version Int, body Text, expires_at Int, created_at Int, updated_at Int, hold Text,
    }
    steps (org, run, step_index) Part::OfRun("run") => {
        org Text, run Uuid, step_index Int4, call_id Text, body Text,
    }
    run_log (org, run, last_seq) Part::OfRun("run") => {
        org Text, run Uuid, last_seq Int, first_seq Int, body Text,
    }
    approvals (org, id) Part::OfRun("run") => {
        org Text, id Uuid, run Uuid, status Text, requested_at Int, expires_at Int, resolved_at Int, reason Text,
        body Text,
    }
    responses (org, session, id) Part::OfRun("session") => { org Text, session Uuid, id Uuid, body Text }
    late_answers (org, run, call_id, attempt) Part::OfRun("run") => {
        org Text, run Uuid, call_id Text, attempt Int4, at Int, content Text, is_error Bool,
    }
    tool_results (org, id) Part::OfEither("run", "thread") => {
        org Text, id Text, run Uuid, thread Uuid, tool Text, bytes Int, content Text, kept_at Int,
    }
    gate_cases (org, run, step_index) Part::OfRun("run") => {
        org Text, run Uuid, step_index Int, agent_type Text, at Int, body Text,
    }
    grants (org, id) Part::No => {
        org Text, id Uuid, agent_type Text, tool_name Text, tool_version Text, created_at Int, expires_at Int,
        uses_max Int, used Int, revoked_at Int, revoked_by Text, body Text,
    }
    grant_uses (org, grant_id, run, step_index) Part::No => {
        org Text, grant_id Uuid, run Uuid, step_index Int4, used_at Int, body Text,
    }
    budget_days (org, subject, day) Part::No => {
        org Text, subject Text, day Int, steps Int, tokens Int, cost_micro_usd Int,
    }
    idempotency (org, route, key) Part::No => {
        org Text, route Text, key Text, body_digest Bytes, begun_at Int, status Int4, body Bytes, resource Uuid,
        holder Uuid,
    }
    tool_pins (server, tool) Part::No => {
        server Text, tool Text, digest Text, definition Text, pinned_at Int, offered_digest Text, offered Text,
        offered_at Int,
    }
    mcp_logins (server, org) Part::No => {
        server Text, org Text, sealed Text, changed_at Int, held_by Uuid, held_until Int,
    }
    audit_log (org, seq) Part::No => { org Text, seq Int, body Text, hash Bytes }
    audit_heads (org) Part::No => { org Text, seq Int, hash Bytes }
    server_facts (name) Part::No => { name Text, value Text }
    webhook_deliveries (seq) Part::No => {
        seq Int, org Text, id Uuid, endpoint Text, topic Text, body Text, created_at Int, state Text, attempts Int4,
        due_at Int, last_error Text, delivered_at Int,
    }
}

/// Tables of a database itself, which mean nothing elsewhere.
#[cfg(test)]
pub(super) const STAYING: [&str; 4] = ["health", "schema_migrations", "standing", "workers"];
