"""Deprecated name of :mod:`phlo_dlt.rows.conformer`; it goes away in 1.2."""

import warnings

from phlo_dlt.rows.conformer import Conformer, Findings, conform_column, parse_text

__all__ = ["Conformer", "Findings", "conform_column", "parse_text"]

warnings.warn(
    "phlo_dlt.conform is called phlo_dlt.rows.conformer now; the old name goes away in 1.2.",
    DeprecationWarning,
    stacklevel=2,
)
