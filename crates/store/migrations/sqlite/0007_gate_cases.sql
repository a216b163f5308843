-- Decisions of intent gates that a person marked as wrong. One for each step; a later mark replaces an earlier one.
CREATE TABLE gate_cases (
    org TEXT NOT NULL,
    run BLOB NOT NULL,
    step_index INTEGER NOT NULL,
    agent_type TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org, run, step_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX gate_cases_by_agent ON gate_cases (org, agent_type, at);
