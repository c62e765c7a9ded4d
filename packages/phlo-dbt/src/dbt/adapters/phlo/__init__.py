"""The dbt adapter ``phlo``: dbt finds it by this name, for profiles with ``type: phlo``."""

from pathlib import Path

import phlo_dbt
from dbt.adapters.base.plugin import AdapterPlugin
from phlo_dbt.adapter import PhloAdapter, PhloCredentials

Plugin = AdapterPlugin(
    adapter=PhloAdapter,  # pyright: ignore[reportArgumentType] - as dbt-duckdb's own
    credentials=PhloCredentials,
    include_path=str(Path(phlo_dbt.__file__).parent),
    dependencies=["duckdb"],
    project_name="dbt_phlo",
)
