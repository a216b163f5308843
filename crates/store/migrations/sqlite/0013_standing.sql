-- What this database is while a move goes on or after one, as JSON; no row for one that is in use as always.
CREATE TABLE standing (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL
) STRICT;
