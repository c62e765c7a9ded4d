"""Alerts: what happened that somebody must know of, and how they are told."""
