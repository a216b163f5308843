-- One row for each run that has ended, narrow and never changed, so that sums over a span of time read it alone. It is
-- written by the statement that ends the run, whichever that is, and stays when the run is deleted with its thread.
-- Rows are only added: servers that share the database never wait for each other's sums.

CREATE TABLE run_usage (
    org text NOT NULL,
    ended_at bigint NOT NULL,
    run uuid NOT NULL,
    agent_type text NOT NULL,
    -- Empty if the run never had one.
    lane text NOT NULL,
    key_id text NOT NULL,
    key_name text NOT NULL,
    status text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cost_micro_usd bigint NOT NULL,
    estimated boolean NOT NULL,
    PRIMARY KEY (org, ended_at, run)
);

-- A run's body as json to read from. It may hold the escape of U+0000, which no json function reads past.
CREATE FUNCTION run_json_1(p_body text) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN position('\u0000' IN p_body) = 0 THEN p_body
        ELSE regexp_replace(p_body, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g') END::json
$$;

CREATE FUNCTION run_ended_1() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_run json := run_json_1(NEW.body);
BEGIN
    INSERT INTO run_usage (org, ended_at, run, agent_type, lane, key_id, key_name, status, input_tokens, output_tokens,
        cached_tokens, cost_micro_usd, estimated)
    VALUES (NEW.org, NEW.updated_at, NEW.id, NEW.agent_type, coalesce(v_run #>> '{lane,name}', ''),
        v_run #>> '{created_by,key_id}', v_run #>> '{created_by,name}', NEW.status,
        (v_run #>> '{usage,input_tokens}')::bigint, (v_run #>> '{usage,output_tokens}')::bigint,
        (v_run #>> '{usage,cached_tokens}')::bigint, (v_run #>> '{usage,cost_micro_usd}')::bigint,
        coalesce((v_run #>> '{usage,estimated}')::boolean, false))
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER runs_that_end AFTER UPDATE OF status ON runs FOR EACH ROW
WHEN (NEW.status IN ('completed', 'failed', 'cancelled') AND OLD.status NOT IN ('completed', 'failed', 'cancelled'))
EXECUTE FUNCTION run_ended_1();

CREATE TRIGGER runs_that_begin_ended AFTER INSERT ON runs FOR EACH ROW
WHEN (NEW.status IN ('completed', 'failed', 'cancelled'))
EXECUTE FUNCTION run_ended_1();

INSERT INTO run_usage (org, ended_at, run, agent_type, lane, key_id, key_name, status, input_tokens, output_tokens,
    cached_tokens, cost_micro_usd, estimated)
SELECT r.org, r.updated_at, r.id, r.agent_type, coalesce(b #>> '{lane,name}', ''),
    b #>> '{created_by,key_id}', b #>> '{created_by,name}', r.status,
    (b #>> '{usage,input_tokens}')::bigint, (b #>> '{usage,output_tokens}')::bigint,
    (b #>> '{usage,cached_tokens}')::bigint, (b #>> '{usage,cost_micro_usd}')::bigint,
    coalesce((b #>> '{usage,estimated}')::boolean, false)
FROM runs r, run_json_1(r.body) AS b WHERE r.status IN ('completed', 'failed', 'cancelled');
