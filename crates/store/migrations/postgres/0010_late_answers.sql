-- What tools answered to servers that had lost the run by then. Rows are only added, and go with the run.

CREATE TABLE late_answers (
    org text NOT NULL,
    run uuid NOT NULL,
    call_id text NOT NULL,
    attempt integer NOT NULL,
    at bigint NOT NULL,
    content text NOT NULL,
    is_error boolean NOT NULL,
    PRIMARY KEY (org, run, call_id, attempt)
);
