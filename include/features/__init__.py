"""The feature expressions, computed by DuckDB."""
