-- What the release of schema 3 ran on a database of schema 2.

CREATE TABLE IF NOT EXISTS alert (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    event TEXT NOT NULL,
    run TEXT,
    document JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX IF NOT EXISTS alert_run ON alert (model, run);

CREATE TABLE IF NOT EXISTS alert_delivery (
    alert_id BIGINT NOT NULL REFERENCES alert (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    leased_until TIMESTAMP WITH TIME ZONE,
    attempted_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    PRIMARY KEY (alert_id, channel),
    CONSTRAINT alert_delivery_state CHECK (state IN ('waiting', 'sent', 'expired'))
);

CREATE INDEX IF NOT EXISTS alert_delivery_waiting ON alert_delivery (next_at) WHERE state = 'waiting';

UPDATE noria_schema SET version = 3;
