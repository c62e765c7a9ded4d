"""Read tables: states, projections by field id, statistics, and the DuckDB engine."""
