-- The worker that answers a request whose status is NULL. Once its lease is over the request is dead.
ALTER TABLE idempotency ADD COLUMN holder uuid;

-- 'begun', 'seen': the caller then looks the key up, or 'lost' where the worker's own lease is over.
CREATE FUNCTION begin_request_1(
    p_org text, p_route text, p_key text, p_digest bytea, p_at bigint, p_forgotten bigint, p_worker uuid
) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_begun bigint;
    v_status integer;
    v_holder uuid;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM workers WHERE id = p_worker
        AND lease_until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) THEN
        RETURN 'lost';
    END IF;
    SELECT begun_at, status, holder INTO v_begun, v_status, v_holder FROM idempotency
    WHERE org = p_org AND route = p_route AND key = p_key FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO idempotency (org, route, key, body_digest, begun_at, holder)
        VALUES (p_org, p_route, p_key, p_digest, p_at, p_worker)
        ON CONFLICT (org, route, key) DO NOTHING;
        RETURN CASE WHEN FOUND THEN 'begun' ELSE 'seen' END;
    END IF;
    IF v_begun > p_forgotten THEN
        IF v_status IS NOT NULL THEN
            RETURN 'seen';
        END IF;
        -- As with runs: a dead worker is forgotten first, so that a late heartbeat tells it what it lost, and a heartbeat
        -- that comes at the same moment wins, since the deletion waits for it and looks again.
        DELETE FROM workers WHERE id = v_holder
            AND lease_until <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
        IF EXISTS (SELECT 1 FROM workers WHERE id = v_holder) THEN
            RETURN 'seen';
        END IF;
    END IF;
    UPDATE idempotency SET body_digest = p_digest, begun_at = p_at, status = NULL, body = NULL, resource = NULL,
        holder = p_worker
    WHERE org = p_org AND route = p_route AND key = p_key;
    RETURN 'begun';
END $$;
