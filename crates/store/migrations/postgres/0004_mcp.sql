-- What is trusted of the tools that other servers offer, and what they offer instead now.
CREATE TABLE tool_pins (
    server text NOT NULL,
    tool text NOT NULL,
    digest text NOT NULL,
    definition text NOT NULL,
    pinned_at bigint NOT NULL,
    offered_digest text,
    offered text,
    offered_at bigint,
    PRIMARY KEY (server, tool)
);

-- Results of tools that were too long for a model.
CREATE TABLE tool_results (
    org text NOT NULL,
    id text NOT NULL,
    run uuid NOT NULL,
    thread uuid,
    tool text NOT NULL,
    bytes bigint NOT NULL,
    content text NOT NULL,
    kept_at bigint NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX tool_results_by_age ON tool_results (kept_at);
