-- Why a run must not go on, as JSON; NULL for a run that may. Claims leave out what is on hold.
ALTER TABLE runs ADD COLUMN hold text;
CREATE INDEX runs_on_hold ON runs (org, created_at, id) WHERE hold IS NOT NULL;
