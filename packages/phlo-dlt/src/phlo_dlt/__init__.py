"""Ingestion for phlo: @phlo_ingestion."""
