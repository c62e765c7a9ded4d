"""Maintain and repair tables: expire, compact, remove orphans, relocate, rebuild, migrate."""
