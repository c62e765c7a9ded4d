"""The base class of schemas."""

from __future__ import annotations

import pandera.pandas as pa


class PhloSchema(pa.DataFrameModel):
    """A Pandera model with phlo's defaults: unknown columns pass, types are coerced (R5)."""

    class Config:
        """Pandera's configuration."""

        strict = False
        coerce = True
