"""Conform, judge and deduplicate the rows of one load."""
