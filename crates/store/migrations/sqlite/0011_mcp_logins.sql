-- Logins at MCP servers. What is in them is sealed with a key that is not in the database.

CREATE TABLE mcp_logins (
    server TEXT NOT NULL,
    -- Empty: of all orgs that have none of their own.
    org TEXT NOT NULL,
    sealed TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    -- Who is about to use up what is in it, and until when nobody else may.
    held_by BLOB,
    held_until INTEGER,
    PRIMARY KEY (server, org)
) STRICT;
