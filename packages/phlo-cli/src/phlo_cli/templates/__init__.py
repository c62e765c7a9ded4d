"""Projects that `phlo init` can write."""

from __future__ import annotations

from pathlib import Path

from phlo.values import ProjectTemplate

BASIC = ProjectTemplate(
    name="basic",
    description="One table of orders with its contract and checks; runs without a network.",
    folder=str(Path(__file__).parent / "basic"),
    packages=("phlo-dlt", "phlo-iceberg", "phlo-quality"),
)

FILES = ProjectTemplate(
    name="files",
    description="A table loaded from CSV files of a folder, with its contract and checks.",
    folder=str(Path(__file__).parent / "files"),
    packages=("phlo-dlt", "phlo-iceberg", "phlo-quality"),
)
