"""Published marts for phlo: Iceberg tables swapped into PostgreSQL in one transaction."""
