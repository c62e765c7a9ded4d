"""Trino as phlo's query engine."""
