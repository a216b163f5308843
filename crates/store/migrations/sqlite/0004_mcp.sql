-- What is trusted of the tools that other servers offer, and what they offer instead now.
CREATE TABLE tool_pins (
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    digest TEXT NOT NULL,
    definition TEXT NOT NULL,
    pinned_at INTEGER NOT NULL,
    offered_digest TEXT,
    offered TEXT,
    offered_at INTEGER,
    PRIMARY KEY (server, tool)
) STRICT;

-- Results of tools that were too long for a model.
CREATE TABLE tool_results (
    org TEXT NOT NULL,
    id TEXT NOT NULL,
    run BLOB NOT NULL,
    thread BLOB,
    tool TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    content TEXT NOT NULL,
    kept_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX tool_results_by_age ON tool_results (kept_at);
