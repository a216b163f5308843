-- Client-side sessions are the runs without a thread; they are listed on their own.
CREATE INDEX runs_sessions ON runs (org, created_at, id) WHERE thread IS NULL;

-- Tokens are found by their session, to be revoked, and by their end, to be cleared away.
CREATE INDEX api_keys_by_session ON api_keys (org, session) WHERE session IS NOT NULL;
CREATE INDEX api_keys_expiring ON api_keys (expires_at) WHERE session IS NOT NULL;
