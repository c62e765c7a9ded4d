"""`make bench [ONLY=merge]`: run the benchmarks, print their tables, write benchmarks/results.

Each has there a table, a picture of its ratios and its figures as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from benchmarks.measure import RESULTS
from benchmarks.picture import as_ratio, draw, ratio_column

HELPERS = {"__init__", "__main__", "measure", "data", "picture"}


def main(names: list[str]) -> None:
    """Run the benchmarks named, or all."""
    RESULTS.mkdir(exist_ok=True)
    found = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in HELPERS)
    for name in names or found:
        rows = importlib.import_module(f"benchmarks.{name}").run()
        table = as_markdown(rows)
        print(f"\n## {name}\n\n{table}\n", flush=True)
        (RESULTS / f"{name}.md").write_text(f"# {name}\n\n{table}\n")
        (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=2))
        draw(name, rows, RESULTS / f"{name}.svg")


def as_markdown(rows: list[dict]) -> str:
    """A table of the rows; the keys of the first are its head."""
    names, ratio = list(rows[0]), ratio_column(rows)
    rows = [row | {ratio: as_ratio(row[ratio])} if ratio in row else row for row in rows]
    lines = ["| " + " | ".join(_cell(row.get(n, "")) for n in names) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(names) + " |", "|" + " --- |" * len(names), *lines])


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main(sys.argv[1:] or os.environ.get("ONLY", "").split())
