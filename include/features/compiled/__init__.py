"""Feature expressions as plain Python: compiled from DuckDB's syntax tree, and proven equal before they answer."""
