-- Remembered approvals and what they let through. `used` is counted in the transaction that dispatches the call.
CREATE TABLE grants (
    org TEXT NOT NULL,
    id BLOB NOT NULL,
    agent_type TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    tool_version TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    uses_max INTEGER NOT NULL,
    used INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT,
    -- The grant as it was made.
    body TEXT NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX grants_by_time ON grants (org, created_at, id);
CREATE INDEX grants_live ON grants (org, agent_type, tool_name, tool_version, created_at)
    WHERE revoked_at IS NULL AND used < uses_max;

CREATE TABLE grant_uses (
    org TEXT NOT NULL,
    grant_id BLOB NOT NULL,
    run BLOB NOT NULL,
    step_index INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org, grant_id, run, step_index)
) STRICT;
CREATE INDEX grant_uses_by_time ON grant_uses (org, grant_id, used_at);

-- What an org (subject '') and its agents took from a day (UTC, days since 1970).
CREATE TABLE budget_days (
    org TEXT NOT NULL,
    subject TEXT NOT NULL,
    day INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_micro_usd INTEGER NOT NULL,
    PRIMARY KEY (org, subject, day)
) STRICT;
