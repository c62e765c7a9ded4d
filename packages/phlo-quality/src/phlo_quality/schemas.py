"""The base class of schemas, where quality suites look for it."""

from __future__ import annotations

from phlo.schemas import PhloSchema

__all__ = ["PhloSchema"]
