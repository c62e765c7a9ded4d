"""Dagster objects of a project: everything that imports Dagster stands in this wing."""
