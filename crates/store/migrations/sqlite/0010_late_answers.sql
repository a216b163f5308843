-- What tools answered to servers that had lost the run by then. Rows are only added, and go with the run.

CREATE TABLE late_answers (
    org TEXT NOT NULL,
    run BLOB NOT NULL,
    call_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    content TEXT NOT NULL,
    is_error INTEGER NOT NULL,
    PRIMARY KEY (org, run, call_id, attempt)
) STRICT;
