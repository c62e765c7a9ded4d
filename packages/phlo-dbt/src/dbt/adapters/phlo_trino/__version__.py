"""The adapter's version, where dbt looks for it."""

from importlib.metadata import version as distribution_version

version = distribution_version("phlo-dbt")
