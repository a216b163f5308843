-- Remembered approvals and what they let through. `used` is counted in the transaction that dispatches the call.
CREATE TABLE grants (
    org text NOT NULL,
    id uuid NOT NULL,
    agent_type text NOT NULL,
    tool_name text NOT NULL,
    tool_version text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    uses_max bigint NOT NULL,
    used bigint NOT NULL,
    revoked_at bigint,
    revoked_by text,
    -- The grant as it was made.
    body text NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX grants_by_time ON grants (org, created_at, id);
CREATE INDEX grants_live ON grants (org, agent_type, tool_name, tool_version, created_at)
    WHERE revoked_at IS NULL AND used < uses_max;

CREATE TABLE grant_uses (
    org text NOT NULL,
    grant_id uuid NOT NULL,
    run uuid NOT NULL,
    step_index integer NOT NULL,
    used_at bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (org, grant_id, run, step_index)
);
CREATE INDEX grant_uses_by_time ON grant_uses (org, grant_id, used_at);

-- What an org (subject '') and its agents took from a day (UTC, days since 1970).
CREATE TABLE budget_days (
    org text NOT NULL,
    subject text NOT NULL,
    day bigint NOT NULL,
    steps bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_micro_usd bigint NOT NULL,
    PRIMARY KEY (org, subject, day)
);

-- Takes the amount from every subject's day, or from none: then the first subject, from 1, that would pass a ceiling,
-- and which. Subjects come in one order from everybody, so that no two wait for each other.
CREATE FUNCTION reserve_budget_1(
    p_org text, p_day bigint, p_subject text[], p_steps_max bigint[], p_tokens_max bigint[], p_cost_max bigint[],
    p_steps bigint, p_tokens bigint, p_cost bigint, OUT place integer, OUT ceiling text
) LANGUAGE plpgsql AS $$
DECLARE
    item integer;
    used budget_days;
BEGIN
    place := 0;
    FOR item IN 1 .. cardinality(p_subject) LOOP
        INSERT INTO budget_days (org, subject, day, steps, tokens, cost_micro_usd)
        VALUES (p_org, p_subject[item], p_day, 0, 0, 0) ON CONFLICT DO NOTHING;
        SELECT * INTO used FROM budget_days b
        WHERE b.org = p_org AND b.subject = p_subject[item] AND b.day = p_day FOR UPDATE;
        ceiling := CASE
            WHEN used.steps + p_steps > p_steps_max[item] THEN 'steps'
            WHEN used.tokens + p_tokens > p_tokens_max[item] THEN 'tokens'
            WHEN used.cost_micro_usd + p_cost > p_cost_max[item] THEN 'cost'
        END;
        IF ceiling IS NOT NULL THEN
            place := item;
            RETURN;
        END IF;
    END LOOP;
    UPDATE budget_days b SET steps = b.steps + p_steps, tokens = b.tokens + p_tokens,
        cost_micro_usd = b.cost_micro_usd + p_cost
    WHERE b.org = p_org AND b.day = p_day AND b.subject = ANY (p_subject);
END $$;
