-- Decisions of intent gates that a person marked as wrong. One for each step; a later mark replaces an earlier one.
CREATE TABLE gate_cases (
    org text NOT NULL,
    run uuid NOT NULL,
    step_index bigint NOT NULL,
    agent_type text NOT NULL,
    at bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (org, run, step_index)
);

CREATE INDEX gate_cases_by_agent ON gate_cases (org, agent_type, at);
