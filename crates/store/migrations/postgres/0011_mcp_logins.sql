-- Logins at MCP servers. What is in them is sealed with a key that is not in the database.

CREATE TABLE mcp_logins (
    server text NOT NULL,
    -- Empty: of all orgs that have none of their own.
    org text NOT NULL,
    sealed text NOT NULL,
    changed_at bigint NOT NULL,
    -- Who is about to use up what is in it, and until when nobody else may.
    held_by uuid,
    held_until bigint,
    PRIMARY KEY (server, org)
);
