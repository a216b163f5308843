-- One row for each run that has ended, narrow and never changed, so that sums over a span of time read it alone. It is
-- written by the statement that ends the run, whichever that is, and stays when the run is deleted with its thread.
-- Clustered by time: a span is one stretch of pages.

CREATE TABLE run_usage (
    org TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    run BLOB NOT NULL,
    agent_type TEXT NOT NULL,
    -- Empty if the run never had one.
    lane TEXT NOT NULL,
    key_id TEXT NOT NULL,
    key_name TEXT NOT NULL,
    status TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cost_micro_usd INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (org, ended_at, run)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER runs_that_end AFTER UPDATE OF status ON runs
WHEN NEW.status IN ('completed', 'failed', 'cancelled') AND OLD.status NOT IN ('completed', 'failed', 'cancelled')
BEGIN
    INSERT INTO run_usage VALUES (NEW.org, NEW.updated_at, NEW.id, NEW.agent_type,
        coalesce(json_extract(NEW.body, '$.lane.name'), ''),
        json_extract(NEW.body, '$.created_by.key_id'), json_extract(NEW.body, '$.created_by.name'), NEW.status,
        json_extract(NEW.body, '$.usage.input_tokens'), json_extract(NEW.body, '$.usage.output_tokens'),
        json_extract(NEW.body, '$.usage.cached_tokens'), json_extract(NEW.body, '$.usage.cost_micro_usd'),
        coalesce(json_extract(NEW.body, '$.usage.estimated'), 0))
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER runs_that_begin_ended AFTER INSERT ON runs
WHEN NEW.status IN ('completed', 'failed', 'cancelled')
BEGIN
    INSERT INTO run_usage VALUES (NEW.org, NEW.updated_at, NEW.id, NEW.agent_type,
        coalesce(json_extract(NEW.body, '$.lane.name'), ''),
        json_extract(NEW.body, '$.created_by.key_id'), json_extract(NEW.body, '$.created_by.name'), NEW.status,
        json_extract(NEW.body, '$.usage.input_tokens'), json_extract(NEW.body, '$.usage.output_tokens'),
        json_extract(NEW.body, '$.usage.cached_tokens'), json_extract(NEW.body, '$.usage.cost_micro_usd'),
        coalesce(json_extract(NEW.body, '$.usage.estimated'), 0))
    ON CONFLICT DO NOTHING;
END;

INSERT INTO run_usage
SELECT org, updated_at, id, agent_type, coalesce(json_extract(body, '$.lane.name'), ''),
    json_extract(body, '$.created_by.key_id'), json_extract(body, '$.created_by.name'), status,
    json_extract(body, '$.usage.input_tokens'), json_extract(body, '$.usage.output_tokens'),
    json_extract(body, '$.usage.cached_tokens'), json_extract(body, '$.usage.cost_micro_usd'),
    coalesce(json_extract(body, '$.usage.estimated'), 0)
FROM runs WHERE status IN ('completed', 'failed', 'cancelled');
