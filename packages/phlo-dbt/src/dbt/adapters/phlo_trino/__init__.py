"""The dbt adapter ``phlo_trino``: dbt finds it by this name, for profiles with that ``type``."""

from pathlib import Path

import phlo_dbt
from dbt.adapters.base.plugin import AdapterPlugin
from phlo_dbt.trino.adapter import PhloTrinoAdapter, PhloTrinoCredentials

Plugin = AdapterPlugin(
    adapter=PhloTrinoAdapter,  # pyright: ignore[reportArgumentType] - as dbt-trino's own
    credentials=PhloTrinoCredentials,
    include_path=str(Path(phlo_dbt.__file__).parent),
    dependencies=["trino"],
    project_name="dbt_phlo",
)
