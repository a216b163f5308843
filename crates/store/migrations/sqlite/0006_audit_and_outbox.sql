-- Each org's record of decisions. body is the very text that was hashed; the head shows a tail that was cut off.
CREATE TABLE audit_log (
    org TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (org, seq)
) STRICT;

CREATE TABLE audit_heads (
    org TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- What was last known of the server, so that a change is recorded once.
CREATE TABLE server_facts (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Messages to other systems. seq is never used twice, also after a message is swept away.
CREATE TABLE webhook_deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    org TEXT NOT NULL,
    id BLOB NOT NULL,
    endpoint TEXT NOT NULL,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    last_error TEXT,
    delivered_at INTEGER
) STRICT;
CREATE UNIQUE INDEX webhook_deliveries_by_id ON webhook_deliveries (org, id);
CREATE INDEX webhook_deliveries_by_org ON webhook_deliveries (org, seq);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (delivered_at) WHERE state = 'delivered';
