-- What the release of schema 2 ran on a database of schema 1.

ALTER TABLE deployment_state ADD COLUMN IF NOT EXISTS plan JSONB;

ALTER TABLE deployment_state ADD COLUMN IF NOT EXISTS until TIMESTAMP WITH TIME ZONE;

ALTER TABLE deployment_state ADD COLUMN IF NOT EXISTS deployment TEXT;

CREATE UNIQUE INDEX IF NOT EXISTS deployment_state_one_challenger ON deployment_state (model)
WHERE role IN ('candidate', 'shadow', 'canary', 'ab');

ALTER TABLE deployment_ledger ADD COLUMN IF NOT EXISTS shares JSONB NOT NULL DEFAULT '{}'::jsonb;

CREATE TABLE IF NOT EXISTS assessment (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    deployment TEXT NOT NULL,
    stage TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    evidence JSONB NOT NULL,
    CONSTRAINT assessment_verdict CHECK (verdict IN ('wait', 'advance', 'rollback'))
);

CREATE INDEX IF NOT EXISTS assessment_newest ON assessment (model, deployment, stage, id);

UPDATE noria_schema SET version = 2;
