"""Published marts in Superset: database, datasets, metrics, charts and a dashboard."""
