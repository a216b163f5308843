-- Each org's record of decisions. body is the very text that was hashed; the head shows a tail that was cut off, and its
-- row is the lock under which an org's chain grows.
CREATE TABLE audit_log (
    org text NOT NULL,
    seq bigint NOT NULL,
    body text NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (org, seq)
);

CREATE TABLE audit_heads (
    org text NOT NULL PRIMARY KEY,
    seq bigint NOT NULL,
    hash bytea NOT NULL
);

-- What was last known of the server, so that a change is recorded once.
CREATE TABLE server_facts (
    name text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

-- Messages to other systems.
CREATE TABLE webhook_deliveries (
    seq bigserial PRIMARY KEY,
    org text NOT NULL,
    id uuid NOT NULL,
    endpoint text NOT NULL,
    topic text NOT NULL,
    body text NOT NULL,
    created_at bigint NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    due_at bigint NOT NULL,
    last_error text,
    delivered_at bigint
);
CREATE UNIQUE INDEX webhook_deliveries_by_id ON webhook_deliveries (org, id);
CREATE INDEX webhook_deliveries_by_org ON webhook_deliveries (org, seq);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (delivered_at) WHERE state = 'delivered';

-- Adds entries to chains. Heads are locked in one order, so that two statements never wait for each other; orgs that are
-- not named are not touched.
CREATE FUNCTION append_audit_6(p_org text[], p_body text[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_org text;
    v_body text;
    v_seq bigint;
    v_hash bytea;
BEGIN
    INSERT INTO audit_heads (org, seq, hash)
    SELECT DISTINCT o, 0::bigint, decode(repeat('00', 32), 'hex') FROM unnest(p_org) AS o ORDER BY o
    ON CONFLICT (org) DO NOTHING;
    PERFORM 1 FROM audit_heads h WHERE h.org = ANY (p_org) ORDER BY h.org FOR UPDATE;
    FOR v_org, v_body IN
        SELECT x.o, x.b FROM unnest(p_org, p_body) WITH ORDINALITY AS x(o, b, n) ORDER BY x.n
    LOOP
        SELECT h.seq + 1, h.hash INTO v_seq, v_hash FROM audit_heads h WHERE h.org = v_org;
        v_hash := sha256(v_hash || int8send(v_seq) || convert_to(v_body, 'UTF8'));
        INSERT INTO audit_log (org, seq, body, hash) VALUES (v_org, v_seq, v_body, v_hash);
        UPDATE audit_heads h SET seq = v_seq, hash = v_hash WHERE h.org = v_org;
    END LOOP;
END $$;

-- What transitions leave beside their runs' own rows: item n belongs to run n, and only those that were written count.
CREATE FUNCTION write_notes_6(
    p_done bigint[], p_org text[], p_audit_item integer[], p_audit_body text[],
    p_post_item integer[], p_post_id uuid[], p_post_endpoint text[], p_post_topic text[], p_post_body text[],
    p_post_at bigint[]
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_org text[];
    v_body text[];
BEGIN
    IF p_done IS NULL THEN
        RETURN 0;
    END IF;
    SELECT array_agg(p_org[a.n] ORDER BY a.place), array_agg(a.b ORDER BY a.place) INTO v_org, v_body
    FROM unnest(p_audit_item, p_audit_body) WITH ORDINALITY AS a(n, b, place) WHERE a.n = ANY (p_done);
    IF v_org IS NOT NULL THEN
        PERFORM append_audit_6(v_org, v_body);
    END IF;
    INSERT INTO webhook_deliveries (org, id, endpoint, topic, body, created_at, state, attempts, due_at)
    SELECT p_org[d.n], d.i, d.e, d.t, d.b, d.a, 'pending', 0, d.a
    FROM unnest(p_post_item, p_post_id, p_post_endpoint, p_post_topic, p_post_body, p_post_at) WITH ORDINALITY
        AS d(n, i, e, t, b, a, place)
    WHERE d.n = ANY (p_done) ORDER BY d.place;
    RETURN 1;
END $$;
