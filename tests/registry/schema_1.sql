-- The schema of version 1, as SQLAlchemy made it then.
CREATE TABLE check_result (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    stage TEXT NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    subject TEXT NOT NULL,
    verdict TEXT NOT NULL,
    details JSONB NOT NULL,
    page TEXT,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX check_result_model ON check_result (model, kind, stage, at);

CREATE TABLE deployment (
    model TEXT NOT NULL,
    revision BIGINT DEFAULT 0 NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (model)
);

CREATE TABLE deployment_ledger (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    model TEXT NOT NULL,
    revision BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    action TEXT NOT NULL,
    from_version INTEGER,
    to_version INTEGER,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    evidence JSONB NOT NULL,
    state JSONB NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT deployment_ledger_revision UNIQUE (model, revision)
);

CREATE INDEX deployment_ledger_at ON deployment_ledger (model, at);

CREATE TABLE model_version (
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    run_id TEXT NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    artifact_digest TEXT NOT NULL,
    model_uri TEXT NOT NULL,
    status TEXT NOT NULL,
    windows JSONB NOT NULL,
    decision JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (model, version),
    CONSTRAINT model_version_fingerprint UNIQUE (model, fingerprint),
    CONSTRAINT model_version_status CHECK (status IN ('registered', 'barred', 'retired'))
);

CREATE TABLE noria_schema (
    one BOOLEAN DEFAULT true NOT NULL,
    version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (one),
    CONSTRAINT noria_schema_one_row CHECK (one)
);

CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    model TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT 0 NOT NULL,
    error TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX outbox_open ON outbox (model) WHERE delivered_at IS NULL;

CREATE TABLE deployment_state (
    model TEXT NOT NULL,
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    share FLOAT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (model, role),
    FOREIGN KEY(model) REFERENCES deployment (model),
    FOREIGN KEY(model, version) REFERENCES model_version (model, version),
    CONSTRAINT deployment_state_share CHECK (share >= 0 AND share <= 1)
);

CREATE OR REPLACE FUNCTION noria_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the table deployment_ledger is append-only: % is refused', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END $$;

DROP TRIGGER IF EXISTS deployment_ledger_rows ON deployment_ledger;

DROP TRIGGER IF EXISTS deployment_ledger_whole ON deployment_ledger;

CREATE TRIGGER deployment_ledger_rows BEFORE UPDATE OR DELETE ON deployment_ledger
    FOR EACH ROW EXECUTE FUNCTION noria_ledger_is_append_only();

CREATE TRIGGER deployment_ledger_whole BEFORE TRUNCATE ON deployment_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION noria_ledger_is_append_only();

INSERT INTO noria_schema (version) VALUES (1);
