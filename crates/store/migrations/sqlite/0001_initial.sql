-- Ids are 16-byte blobs, times are microseconds since 1970, bodies are JSON. Rows are found by (org, id) and nothing
-- else, so that no statement can forget the org. Tables keep their rowid: bodies are long, and a table clustered by
-- its key would spill each of them into an overflow page of its own.

CREATE TABLE orgs (
    org TEXT NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    org TEXT NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    digest BLOB NOT NULL,
    session BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER,
    PRIMARY KEY (org, id)
) STRICT;
CREATE UNIQUE INDEX api_keys_by_digest ON api_keys (digest);
CREATE INDEX api_keys_owners ON api_keys (org) WHERE role = 'owner';

CREATE TABLE chat_threads (
    org TEXT NOT NULL,
    id BLOB NOT NULL,
    agent_type TEXT NOT NULL,
    title TEXT,
    metadata TEXT NOT NULL,
    active_run BLOB,
    message_count INTEGER NOT NULL,
    last_message_preview TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX chat_threads_by_time ON chat_threads (org, updated_at, id);
CREATE INDEX chat_threads_by_agent ON chat_threads (org, agent_type, updated_at, id);

CREATE TABLE messages (
    org TEXT NOT NULL,
    thread BLOB NOT NULL,
    position INTEGER NOT NULL,
    id BLOB NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org, thread, position)
) STRICT;

-- epoch and version are the truth; those in the body are what they were at the last whole write.
-- runnable: a worker could go on with it now (see the store's documentation of claims).
CREATE TABLE runs (
    org TEXT NOT NULL,
    id BLOB NOT NULL,
    thread BLOB,
    agent_type TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    status TEXT NOT NULL,
    runnable INTEGER NOT NULL,
    owner BLOB,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    -- Of a session at work, else NULL.
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX runs_by_time ON runs (org, created_at, id);
CREATE INDEX runs_by_status ON runs (org, status, created_at, id);
CREATE INDEX runs_by_agent ON runs (org, agent_type, created_at, id);
CREATE INDEX runs_by_thread ON runs (org, thread, created_at, id) WHERE thread IS NOT NULL;
CREATE INDEX runs_waiting ON runs (org, thread, created_at, id) WHERE status = 'queued';
CREATE INDEX runs_runnable ON runs (org, created_at, id) WHERE runnable = 1;
CREATE INDEX runs_held ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_expiring ON runs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE steps (
    org TEXT NOT NULL,
    run BLOB NOT NULL,
    step_index INTEGER NOT NULL,
    call_id TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (org, run, step_index)
) STRICT;
CREATE INDEX steps_by_call ON steps (org, run, call_id, step_index) WHERE call_id IS NOT NULL;

-- One row for each commit: a JSON array of records.
CREATE TABLE run_log (
    org TEXT NOT NULL,
    run BLOB NOT NULL,
    last_seq INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org, run, last_seq)
) STRICT;

-- status, resolved_at and reason are the truth, also where the body still says otherwise.
CREATE TABLE approvals (
    org TEXT NOT NULL,
    id BLOB NOT NULL,
    run BLOB NOT NULL,
    status TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    resolved_at INTEGER,
    reason TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX approvals_by_time ON approvals (org, requested_at, id);
CREATE INDEX approvals_by_status ON approvals (org, status, requested_at, id);
CREATE INDEX approvals_by_run ON approvals (org, run, requested_at, id);
CREATE INDEX approvals_due ON approvals (expires_at) WHERE status = 'pending';

CREATE TABLE responses (
    org TEXT NOT NULL,
    session BLOB NOT NULL,
    id BLOB NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org, session, id)
) STRICT;

-- lease_until counts microseconds on the serving process's own clock, which never jumps.
CREATE TABLE workers (
    id BLOB NOT NULL PRIMARY KEY,
    lease_until INTEGER NOT NULL
) STRICT;

CREATE TABLE agent_versions (
    agent_type TEXT NOT NULL,
    version TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (agent_type, version)
) STRICT;

-- status is NULL while the first request is under way.
CREATE TABLE idempotency (
    org TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    body_digest BLOB NOT NULL,
    begun_at INTEGER NOT NULL,
    status INTEGER,
    body BLOB,
    resource BLOB,
    PRIMARY KEY (org, route, key)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (begun_at);

-- One row, written by the readiness check.
CREATE TABLE health (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    checked_at INTEGER NOT NULL
) STRICT;
