-- The worker that answers a request whose status is NULL. Once its lease is over the request is dead.
ALTER TABLE idempotency ADD COLUMN holder blob;
