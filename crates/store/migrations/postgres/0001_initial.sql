-- Times are microseconds since 1970. Bodies are JSON as text: jsonb cannot hold U+0000, reorders what it is given,
-- and is parsed at each write for nothing. Rows are found by (org, id) and nothing else, so that no statement can
-- forget the org.

CREATE TABLE orgs (
    org text NOT NULL PRIMARY KEY,
    created_at bigint NOT NULL
);

CREATE TABLE api_keys (
    org text NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    digest bytea NOT NULL,
    session uuid,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX api_keys_by_digest ON api_keys (digest);
CREATE INDEX api_keys_owners ON api_keys (org) WHERE role = 'owner';

CREATE TABLE chat_threads (
    org text NOT NULL,
    id uuid NOT NULL,
    agent_type text NOT NULL,
    title text,
    metadata text NOT NULL,
    active_run uuid,
    message_count integer NOT NULL,
    last_message_preview text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX chat_threads_by_time ON chat_threads (org, updated_at, id);
CREATE INDEX chat_threads_by_agent ON chat_threads (org, agent_type, updated_at, id);

CREATE TABLE messages (
    org text NOT NULL,
    thread uuid NOT NULL,
    position integer NOT NULL,
    id uuid NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (org, thread, position)
);

-- epoch and version are the truth; those in the body are what they were at the last whole write.
-- runnable: a worker could go on with it now (see the store's documentation of claims).
CREATE TABLE runs (
    org text NOT NULL,
    id uuid NOT NULL,
    thread uuid,
    agent_type text NOT NULL,
    agent_version text NOT NULL,
    status text NOT NULL,
    runnable boolean NOT NULL,
    owner uuid,
    epoch bigint NOT NULL,
    version bigint NOT NULL,
    body text NOT NULL,
    -- Of a session at work, else NULL.
    expires_at bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX runs_by_time ON runs (org, created_at, id);
CREATE INDEX runs_by_status ON runs (org, status, created_at, id);
CREATE INDEX runs_by_agent ON runs (org, agent_type, created_at, id);
CREATE INDEX runs_by_thread ON runs (org, thread, created_at, id) WHERE thread IS NOT NULL;
CREATE INDEX runs_waiting ON runs (org, thread, created_at, id) WHERE status = 'queued';
CREATE INDEX runs_runnable ON runs (org, created_at, id) WHERE runnable;
CREATE INDEX runs_held ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_expiring ON runs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE steps (
    org text NOT NULL,
    run uuid NOT NULL,
    step_index integer NOT NULL,
    call_id text,
    body text NOT NULL,
    PRIMARY KEY (org, run, step_index)
);
CREATE INDEX steps_by_call ON steps (org, run, call_id, step_index) WHERE call_id IS NOT NULL;

-- One row for each commit: a JSON array of records.
CREATE TABLE run_log (
    org text NOT NULL,
    run uuid NOT NULL,
    last_seq bigint NOT NULL,
    first_seq bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (org, run, last_seq)
);

-- status, resolved_at and reason are the truth, also where the body still says otherwise.
CREATE TABLE approvals (
    org text NOT NULL,
    id uuid NOT NULL,
    run uuid NOT NULL,
    status text NOT NULL,
    requested_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    resolved_at bigint,
    reason text,
    body text NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX approvals_by_time ON approvals (org, requested_at, id);
CREATE INDEX approvals_by_status ON approvals (org, status, requested_at, id);
CREATE INDEX approvals_by_run ON approvals (org, run, requested_at, id);
CREATE INDEX approvals_due ON approvals (expires_at) WHERE status = 'pending';

CREATE TABLE responses (
    org text NOT NULL,
    session uuid NOT NULL,
    id uuid NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (org, session, id)
);

-- lease_until is by this database's clock: the clocks of two servers are never compared.
CREATE TABLE workers (
    id uuid NOT NULL PRIMARY KEY,
    lease_until bigint NOT NULL
);

CREATE TABLE agent_versions (
    agent_type text NOT NULL,
    version text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (agent_type, version)
);

-- status is NULL while the first request is under way.
CREATE TABLE idempotency (
    org text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_digest bytea NOT NULL,
    begun_at bigint NOT NULL,
    status integer,
    body bytea,
    resource uuid,
    PRIMARY KEY (org, route, key)
);
CREATE INDEX idempotency_by_age ON idempotency (begun_at);

-- One row, written by the readiness check.
CREATE TABLE health (
    id integer NOT NULL PRIMARY KEY CHECK (id = 1),
    checked_at bigint NOT NULL
);

-- The hot verbs are functions: each is one round trip and one commit, its steps see what others committed meanwhile (a
-- single statement would see only its own beginning), and a step that has nothing to do costs nothing. They lock the
-- thread before its runs, always, so that they cannot wait for each other in a circle. A function that changes gets a new
-- name with the next number, and the old one stays for the binary that still calls it.
-- Rows are found by their key and everything else about them is tested in a form that no index serves: on a table that
-- was not analysed yet the planner would as soon scan the rows of an agent or a status, and keep to that.

-- Steps, log, messages, approvals and responses of one transition.
CREATE FUNCTION write_parts_1(
    p_org text, p_run uuid, p_thread uuid, p_position integer,
    p_step_index integer[], p_step_call text[], p_step_body text[],
    p_log_first bigint, p_log_last bigint, p_log_body text,
    p_message_id uuid[], p_message_body text[],
    p_approval_id uuid[], p_approval_status text[], p_approval_requested bigint[], p_approval_expires bigint[],
    p_approval_resolved bigint[], p_approval_reason text[], p_approval_body text[],
    p_closed_id uuid[], p_closed_at bigint[], p_closed_reason text[],
    p_response_id uuid[], p_response_body text[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF cardinality(p_step_index) > 0 THEN
        INSERT INTO steps (org, run, step_index, call_id, body)
        SELECT p_org, p_run, s.i, s.c, s.b FROM unnest(p_step_index, p_step_call, p_step_body) AS s(i, c, b)
        ON CONFLICT (org, run, step_index) DO UPDATE SET call_id = excluded.call_id, body = excluded.body;
    END IF;
    IF p_log_body IS NOT NULL THEN
        INSERT INTO run_log (org, run, last_seq, first_seq, body)
        VALUES (p_org, p_run, p_log_last, p_log_first, p_log_body);
    END IF;
    IF cardinality(p_message_id) > 0 AND p_thread IS NOT NULL THEN
        INSERT INTO messages (org, thread, position, id, body)
        SELECT p_org, p_thread, p_position + m.n::integer - 1, m.i, m.b
        FROM unnest(p_message_id, p_message_body) WITH ORDINALITY AS m(i, b, n);
    END IF;
    IF cardinality(p_approval_id) > 0 THEN
        INSERT INTO approvals (org, id, run, status, requested_at, expires_at, resolved_at, reason, body)
        SELECT p_org, a.i, p_run, a.s, a.q, a.e, a.v, a.r, a.b
        FROM unnest(p_approval_id, p_approval_status, p_approval_requested, p_approval_expires,
            p_approval_resolved, p_approval_reason, p_approval_body) AS a(i, s, q, e, v, r, b)
        ON CONFLICT (org, id) DO UPDATE SET status = excluded.status, expires_at = excluded.expires_at,
            resolved_at = excluded.resolved_at, reason = excluded.reason, body = excluded.body
        WHERE approvals.status = 'pending';
    END IF;
    IF cardinality(p_closed_id) > 0 THEN
        UPDATE approvals SET status = 'cancelled', resolved_at = c.t, reason = c.r
        FROM unnest(p_closed_id, p_closed_at, p_closed_reason) AS c(i, t, r)
        WHERE approvals.org = p_org AND approvals.id = c.i AND approvals.status = 'pending';
    END IF;
    IF cardinality(p_response_id) > 0 THEN
        INSERT INTO responses (org, session, id, body)
        SELECT p_org, p_run, r.i, r.b FROM unnest(p_response_id, p_response_body) AS r(i, b);
    END IF;
END $$;

-- Remembers that a request made p_resource. False if another request with this key is remembered already.
CREATE FUNCTION remember_1(
    p_org text, p_route text, p_key text, p_digest bytea, p_at bigint, p_forgotten bigint, p_dead bigint,
    p_status integer, p_resource uuid
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO idempotency (org, route, key, body_digest, begun_at, status, body, resource)
    VALUES (p_org, p_route, p_key, p_digest, p_at, p_status, NULL, p_resource)
    ON CONFLICT (org, route, key) DO UPDATE SET body_digest = excluded.body_digest, begun_at = excluded.begun_at,
        status = excluded.status, body = excluded.body, resource = excluded.resource
    WHERE idempotency.begun_at <= p_forgotten OR (idempotency.status IS NULL AND idempotency.begun_at <= p_dead);
    RETURN FOUND;
END $$;

-- 'created', or 'seen': the caller then looks the key up.
CREATE FUNCTION create_thread_1(
    p_org text, p_id uuid, p_agent_type text, p_title text, p_metadata text, p_created bigint, p_updated bigint,
    p_route text, p_key text, p_digest bytea, p_at bigint, p_forgotten bigint, p_dead bigint, p_key_status integer
) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF p_key IS NOT NULL
        AND NOT remember_1(p_org, p_route, p_key, p_digest, p_at, p_forgotten, p_dead, p_key_status, p_id) THEN
        RETURN 'seen';
    END IF;
    INSERT INTO chat_threads (org, id, agent_type, title, metadata, active_run, message_count, last_message_preview,
        created_at, updated_at)
    VALUES (p_org, p_id, p_agent_type, p_title, p_metadata, NULL, 0, NULL, p_created, p_updated);
    RETURN 'created';
END $$;

-- 'started' with the thread's message count, 'queued', 'busy' with the active run, 'full', 'missing', or 'seen'.
CREATE FUNCTION create_run_1(
    p_org text, p_id uuid, p_thread uuid, p_agent_type text, p_agent_version text, p_status text, p_runnable boolean,
    p_owner uuid, p_epoch bigint, p_version bigint, p_body text, p_expires bigint, p_created bigint, p_at bigint,
    p_terminal boolean, p_preview text,
    p_step_index integer[], p_step_call text[], p_step_body text[],
    p_log_first bigint, p_log_last bigint, p_log_body text,
    p_message_id uuid[], p_message_body text[],
    p_approval_id uuid[], p_approval_status text[], p_approval_requested bigint[], p_approval_expires bigint[],
    p_approval_resolved bigint[], p_approval_reason text[], p_approval_body text[],
    p_closed_id uuid[], p_closed_at bigint[], p_closed_reason text[],
    p_response_id uuid[], p_response_body text[],
    p_waiting_body text, p_waiting_epoch bigint, p_waiting_version bigint, p_waiting_at bigint, p_waiting_max bigint,
    p_waiting_log_first bigint, p_waiting_log_last bigint, p_waiting_log_body text,
    p_route text, p_key text, p_digest bytea, p_key_at bigint, p_forgotten bigint, p_dead bigint, p_key_status integer,
    OUT outcome text, OUT history integer, OUT active uuid, OUT active_status text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_count integer := 0;
    v_found boolean := true;
    v_agent_type text;
BEGIN
    IF p_thread IS NOT NULL THEN
        SELECT t.message_count, t.active_run, t.agent_type INTO v_count, active, v_agent_type FROM chat_threads t
        WHERE t.org = p_org AND t.id = p_thread FOR UPDATE;
        v_found := FOUND AND v_agent_type = p_agent_type;
    END IF;
    -- After the lock: a twin of this request that held it has been answered by now.
    IF p_key IS NOT NULL THEN
        PERFORM 1 FROM idempotency WHERE org = p_org AND route = p_route AND key = p_key
            AND begun_at > p_forgotten AND (status IS NOT NULL OR begun_at > p_dead);
        IF FOUND THEN
            outcome := 'seen';
            RETURN;
        END IF;
    END IF;
    IF NOT v_found THEN
        outcome := 'missing';
        RETURN;
    END IF;
    IF active IS NOT NULL THEN
        IF p_waiting_body IS NULL THEN
            SELECT r.status INTO active_status FROM runs r WHERE r.org = p_org AND r.id = active;
            outcome := 'busy';
            RETURN;
        END IF;
        IF (SELECT count(*) FROM runs r WHERE r.org = p_org AND r.thread = p_thread AND r.status = 'queued'
            AND r.id <> active) >= p_waiting_max THEN
            outcome := 'full';
            RETURN;
        END IF;
    END IF;
    IF p_key IS NOT NULL
        AND NOT remember_1(p_org, p_route, p_key, p_digest, p_key_at, p_forgotten, p_dead, p_key_status, p_id) THEN
        outcome := 'seen';
        RETURN;
    END IF;
    IF active IS NOT NULL THEN
        INSERT INTO runs (org, id, thread, agent_type, agent_version, status, runnable, owner, epoch, version, body,
            created_at, updated_at)
        VALUES (p_org, p_id, p_thread, p_agent_type, p_agent_version, 'queued', false, NULL, p_waiting_epoch,
            p_waiting_version, p_waiting_body, p_created, p_waiting_at);
        IF p_waiting_log_body IS NOT NULL THEN
            INSERT INTO run_log (org, run, last_seq, first_seq, body)
            VALUES (p_org, p_id, p_waiting_log_last, p_waiting_log_first, p_waiting_log_body);
        END IF;
        UPDATE chat_threads SET updated_at = greatest(updated_at, p_waiting_at) WHERE org = p_org AND id = p_thread;
        outcome := 'queued';
        RETURN;
    END IF;
    INSERT INTO runs (org, id, thread, agent_type, agent_version, status, runnable, owner, epoch, version, body,
        expires_at, created_at, updated_at)
    VALUES (p_org, p_id, p_thread, p_agent_type, p_agent_version, p_status, p_runnable, p_owner, p_epoch, p_version,
        p_body, p_expires, p_created, p_at);
    PERFORM write_parts_1(p_org, p_id, p_thread, v_count, p_step_index, p_step_call, p_step_body, p_log_first,
        p_log_last, p_log_body, p_message_id, p_message_body, p_approval_id, p_approval_status, p_approval_requested,
        p_approval_expires, p_approval_resolved, p_approval_reason, p_approval_body, p_closed_id, p_closed_at,
        p_closed_reason, p_response_id, p_response_body);
    IF p_thread IS NOT NULL THEN
        v_count := v_count + cardinality(p_message_id);
        UPDATE chat_threads SET active_run = CASE WHEN p_terminal THEN NULL ELSE p_id END, message_count = v_count,
            last_message_preview = coalesce(p_preview, last_message_preview), updated_at = greatest(updated_at, p_at)
        WHERE org = p_org AND id = p_thread;
    END IF;
    outcome := 'started';
    history := v_count;
END $$;

-- 'deleted', 'missing', or 'busy' with the run that is not over.
CREATE FUNCTION delete_thread_1(p_org text, p_id uuid, OUT outcome text, OUT active uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    SELECT t.active_run INTO active FROM chat_threads t WHERE t.org = p_org AND t.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'missing';
        RETURN;
    END IF;
    IF active IS NOT NULL THEN
        outcome := 'busy';
        RETURN;
    END IF;
    DELETE FROM steps s USING runs r WHERE s.org = p_org AND s.run = r.id AND r.org = p_org AND r.thread = p_id;
    DELETE FROM run_log l USING runs r WHERE l.org = p_org AND l.run = r.id AND r.org = p_org AND r.thread = p_id;
    DELETE FROM approvals a USING runs r WHERE a.org = p_org AND a.run = r.id AND r.org = p_org AND r.thread = p_id;
    DELETE FROM runs r WHERE r.org = p_org AND r.thread = p_id;
    DELETE FROM messages m WHERE m.org = p_org AND m.thread = p_id;
    DELETE FROM chat_threads t WHERE t.org = p_org AND t.id = p_id;
    outcome := 'deleted';
END $$;

-- The same for many at once, of different threads: a statement's costs are shared by all its rows. Item n of every array
-- belongs to run n; the arrays of parts name their run by its number. Plans are made while tables are small and kept while
-- they grow, so the ways that are fast only on small tables are barred.
CREATE FUNCTION write_many_1(
    p_done bigint[], p_org text[], p_run uuid[], p_thread uuid[], p_count integer[],
    p_step_item integer[], p_step_index integer[], p_step_call text[], p_step_body text[],
    p_log_item integer[], p_log_first bigint[], p_log_last bigint[], p_log_body text[],
    p_message_item integer[], p_message_offset integer[], p_message_id uuid[], p_message_body text[],
    p_approval_item integer[], p_approval_id uuid[], p_approval_status text[], p_approval_requested bigint[],
    p_approval_expires bigint[], p_approval_resolved bigint[], p_approval_reason text[], p_approval_body text[],
    p_closed_item integer[], p_closed_id uuid[], p_closed_at bigint[], p_closed_reason text[],
    p_response_item integer[], p_response_id uuid[], p_response_body text[]
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    IF cardinality(p_step_item) > 0 THEN
        INSERT INTO steps (org, run, step_index, call_id, body)
        SELECT p_org[s.n], p_run[s.n], s.i, s.c, s.b
        FROM unnest(p_step_item, p_step_index, p_step_call, p_step_body) AS s(n, i, c, b)
        WHERE s.n = ANY (p_done)
        ON CONFLICT (org, run, step_index) DO UPDATE SET call_id = excluded.call_id, body = excluded.body;
    END IF;
    IF cardinality(p_log_item) > 0 THEN
        INSERT INTO run_log (org, run, last_seq, first_seq, body)
        SELECT p_org[l.n], p_run[l.n], l.l, l.f, l.b
        FROM unnest(p_log_item, p_log_first, p_log_last, p_log_body) AS l(n, f, l, b) WHERE l.n = ANY (p_done);
    END IF;
    IF cardinality(p_message_item) > 0 THEN
        INSERT INTO messages (org, thread, position, id, body)
        SELECT p_org[m.n], p_thread[m.n], p_count[m.n] + m.o, m.i, m.b
        FROM unnest(p_message_item, p_message_offset, p_message_id, p_message_body) AS m(n, o, i, b)
        WHERE m.n = ANY (p_done);
    END IF;
    IF cardinality(p_approval_item) > 0 THEN
        INSERT INTO approvals (org, id, run, status, requested_at, expires_at, resolved_at, reason, body)
        SELECT p_org[a.n], a.i, p_run[a.n], a.s, a.q, a.e, a.v, a.r, a.b
        FROM unnest(p_approval_item, p_approval_id, p_approval_status, p_approval_requested, p_approval_expires,
            p_approval_resolved, p_approval_reason, p_approval_body) AS a(n, i, s, q, e, v, r, b)
        WHERE a.n = ANY (p_done)
        ON CONFLICT (org, id) DO UPDATE SET status = excluded.status, expires_at = excluded.expires_at,
            resolved_at = excluded.resolved_at, reason = excluded.reason, body = excluded.body
        WHERE approvals.status = 'pending';
    END IF;
    IF cardinality(p_closed_item) > 0 THEN
        UPDATE approvals SET status = 'cancelled', resolved_at = c.t, reason = c.r
        FROM unnest(p_closed_item, p_closed_id, p_closed_at, p_closed_reason) AS c(n, i, t, r)
        WHERE c.n = ANY (p_done) AND approvals.org = p_org[c.n] AND approvals.id = c.i
            AND approvals.status || '' = 'pending';
    END IF;
    IF cardinality(p_response_item) > 0 THEN
        INSERT INTO responses (org, session, id, body)
        SELECT p_org[r.n], p_run[r.n], r.i, r.b
        FROM unnest(p_response_item, p_response_id, p_response_body) AS r(n, i, b) WHERE r.n = ANY (p_done);
    END IF;
END $$;

-- Begins runs on idle threads, and sessions. One that something stands in the way of is not among the rows returned, and
-- nothing of it was written: create_run_1 then says what it is.
CREATE FUNCTION create_runs_1(
    p_org text[], p_id uuid[], p_thread uuid[], p_agent_type text[], p_agent_version text[], p_status text[],
    p_runnable boolean[], p_owner uuid[], p_epoch bigint[], p_version bigint[], p_body text[], p_expires bigint[],
    p_created bigint[], p_at bigint[], p_terminal boolean[], p_preview text[], p_added integer[],
    p_step_item integer[], p_step_index integer[], p_step_call text[], p_step_body text[],
    p_log_item integer[], p_log_first bigint[], p_log_last bigint[], p_log_body text[],
    p_message_item integer[], p_message_offset integer[], p_message_id uuid[], p_message_body text[],
    p_approval_item integer[], p_approval_id uuid[], p_approval_status text[], p_approval_requested bigint[],
    p_approval_expires bigint[], p_approval_resolved bigint[], p_approval_reason text[], p_approval_body text[],
    p_closed_item integer[], p_closed_id uuid[], p_closed_at bigint[], p_closed_reason text[],
    p_response_item integer[], p_response_id uuid[], p_response_body text[]
) RETURNS TABLE (item bigint, history integer) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    v_done bigint[];
    v_count integer[];
BEGIN
    PERFORM 1 FROM chat_threads t JOIN unnest(p_org, p_thread) AS x(o, h) ON t.org = x.o AND t.id = x.h
    ORDER BY t.org, t.id FOR UPDATE OF t;
    SELECT array_remove(array_agg(CASE WHEN x.h IS NULL OR (t.active_run IS NULL AND t.agent_type = x.a)
            THEN x.n END), NULL),
        array_agg(coalesce(t.message_count, 0) ORDER BY x.n)
    INTO v_done, v_count
    FROM unnest(p_org, p_thread, p_agent_type) WITH ORDINALITY AS x(o, h, a, n)
    LEFT JOIN chat_threads t ON t.org = x.o AND t.id = x.h;
    IF cardinality(v_done) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO runs (org, id, thread, agent_type, agent_version, status, runnable, owner, epoch, version, body,
        expires_at, created_at, updated_at)
    SELECT x.o, x.i, x.h, x.a, x.g, x.s, x.r, x.w, x.e, x.v, x.b, x.x, x.c, x.u
    FROM unnest(p_org, p_id, p_thread, p_agent_type, p_agent_version, p_status, p_runnable, p_owner, p_epoch, p_version,
        p_body, p_expires, p_created, p_at) WITH ORDINALITY AS x(o, i, h, a, g, s, r, w, e, v, b, x, c, u, n)
    WHERE x.n = ANY (v_done);
    PERFORM write_many_1(v_done, p_org, p_id, p_thread, v_count, p_step_item, p_step_index, p_step_call, p_step_body,
        p_log_item, p_log_first, p_log_last, p_log_body, p_message_item, p_message_offset, p_message_id,
        p_message_body, p_approval_item, p_approval_id, p_approval_status, p_approval_requested, p_approval_expires,
        p_approval_resolved, p_approval_reason, p_approval_body, p_closed_item, p_closed_id, p_closed_at,
        p_closed_reason, p_response_item, p_response_id, p_response_body);
    UPDATE chat_threads t SET active_run = CASE WHEN x.f THEN NULL ELSE x.i END,
        message_count = t.message_count + x.d, last_message_preview = coalesce(x.p, t.last_message_preview),
        updated_at = greatest(t.updated_at, x.u)
    FROM unnest(p_org, p_thread, p_id, p_terminal, p_added, p_preview, p_at) WITH ORDINALITY
        AS x(o, h, i, f, d, p, u, n)
    WHERE x.n = ANY (v_done) AND t.org = x.o AND t.id = x.h;
    RETURN QUERY SELECT d, CASE WHEN p_thread[d] IS NULL THEN 0 ELSE v_count[d] + p_added[d] END
    FROM unnest(v_done) AS d;
END $$;

-- Commits those that are as expected; the others are not among the rows returned.
CREATE FUNCTION commit_runs_1(
    p_org text[], p_id uuid[], p_expected_epoch bigint[], p_expected_version bigint[], p_thread uuid[], p_status text[],
    p_queued boolean[], p_runnable boolean[], p_keep_owner boolean[], p_owner uuid[], p_epoch bigint[],
    p_version bigint[], p_body text[], p_at bigint[], p_terminal boolean[], p_preview text[], p_added integer[],
    p_step_item integer[], p_step_index integer[], p_step_call text[], p_step_body text[],
    p_log_item integer[], p_log_first bigint[], p_log_last bigint[], p_log_body text[],
    p_message_item integer[], p_message_offset integer[], p_message_id uuid[], p_message_body text[],
    p_approval_item integer[], p_approval_id uuid[], p_approval_status text[], p_approval_requested bigint[],
    p_approval_expires bigint[], p_approval_resolved bigint[], p_approval_reason text[], p_approval_body text[],
    p_closed_item integer[], p_closed_id uuid[], p_closed_at bigint[], p_closed_reason text[],
    p_response_item integer[], p_response_id uuid[], p_response_body text[]
) RETURNS TABLE (item bigint, promoted uuid) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    v_done bigint[];
    v_count integer[];
    v_was_active boolean[];
BEGIN
    PERFORM 1 FROM chat_threads t
    JOIN unnest(p_org, p_thread, p_terminal, p_added) AS x(o, h, f, d) ON t.org = x.o AND t.id = x.h
    WHERE x.f OR x.d > 0 ORDER BY t.org, t.id FOR UPDATE OF t;
    WITH written AS (
        UPDATE runs r SET status = x.s, runnable = CASE WHEN x.q THEN r.runnable ELSE x.c END,
            owner = CASE WHEN x.k THEN r.owner ELSE x.w END, epoch = x.e, version = x.v, body = x.b,
            expires_at = CASE WHEN x.f THEN NULL ELSE r.expires_at END, updated_at = greatest(r.updated_at, x.u)
        FROM unnest(p_org, p_id, p_expected_epoch, p_expected_version, p_status, p_queued, p_runnable, p_keep_owner,
            p_owner, p_epoch, p_version, p_body, p_at, p_terminal) WITH ORDINALITY
            AS x(o, i, ee, ev, s, q, c, k, w, e, v, b, u, f, n)
        WHERE r.org = x.o AND r.id = x.i AND r.epoch = x.ee AND r.version = x.ev
            AND r.status <> ALL ('{completed,failed,cancelled}')
        RETURNING x.n)
    SELECT array_agg(written.n) INTO v_done FROM written;
    IF v_done IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(coalesce(t.message_count, 0) ORDER BY x.n), array_agg(coalesce(t.active_run = x.i, false) ORDER BY x.n)
    INTO v_count, v_was_active
    FROM unnest(p_org, p_thread, p_id) WITH ORDINALITY AS x(o, h, i, n)
    LEFT JOIN chat_threads t ON t.org = x.o AND t.id = x.h;
    PERFORM write_many_1(v_done, p_org, p_id, p_thread, v_count, p_step_item, p_step_index, p_step_call, p_step_body,
        p_log_item, p_log_first, p_log_last, p_log_body, p_message_item, p_message_offset, p_message_id,
        p_message_body, p_approval_item, p_approval_id, p_approval_status, p_approval_requested, p_approval_expires,
        p_approval_resolved, p_approval_reason, p_approval_body, p_closed_item, p_closed_id, p_closed_at,
        p_closed_reason, p_response_item, p_response_id, p_response_body);
    UPDATE chat_threads t SET message_count = t.message_count + x.d,
        active_run = CASE WHEN x.f AND t.active_run = x.i THEN (
            SELECT r.id FROM runs r WHERE r.org = x.o AND r.thread = x.h AND r.status = 'queued'
            ORDER BY r.created_at, r.id LIMIT 1) ELSE t.active_run END,
        last_message_preview = coalesce(x.p, t.last_message_preview), updated_at = greatest(t.updated_at, x.u)
    FROM unnest(p_org, p_thread, p_id, p_terminal, p_added, p_preview, p_at) WITH ORDINALITY
        AS x(o, h, i, f, d, p, u, n)
    WHERE x.n = ANY (v_done) AND (x.f OR x.d > 0) AND t.org = x.o AND t.id = x.h;
    UPDATE runs r SET runnable = true
    FROM unnest(v_done) AS d JOIN chat_threads t ON t.org = p_org[d] AND t.id = p_thread[d]
    WHERE p_terminal[d] AND v_was_active[d] AND r.org = t.org AND r.id = t.active_run;
    RETURN QUERY SELECT d, CASE WHEN p_terminal[d] AND v_was_active[d] THEN t.active_run END
    FROM unnest(v_done) AS d LEFT JOIN chat_threads t ON t.org = p_org[d] AND t.id = p_thread[d];
END $$;
