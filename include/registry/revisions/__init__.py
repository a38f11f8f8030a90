"""The registry's schema, revision after revision, as alembic runs them. See ``ADR-schema.md``, one folder up."""
