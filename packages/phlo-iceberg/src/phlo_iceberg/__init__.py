"""The table store of phlo, and its embedded DuckDB engine."""
