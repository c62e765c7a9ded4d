"""What a branch changed, in words: for the terminal, for programs and for pull requests."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from phlo_cli.output import cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.branches import KeepsBranches, TableChange, TableDifference
    from phlo.names import TableName
    from phlo.values import TableAsset

    from phlo_cli.output import Output

SAMPLES = 5
COUNTS = ("added", "removed", "changed")
COLUMNS = ("table", "change", *COUNTS, "columns", "conflict")


@dataclass(frozen=True)
class ChangedTable:
    """A table that a branch changed, and by what it differs from the source's.

    Attributes:
        change: What the branch did.
        difference: Columns and rows that differ.
    """

    change: TableChange
    difference: TableDifference

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        change, difference = self.change, self.difference
        return {
            "table": str(change.table),
            "change": change.change,
            "conflict": change.is_conflict,
            "runs": list(change.runs),
            "source_runs": list(change.source_runs),
            "base_snapshot_id": change.base_snapshot_id,
            "snapshot_id": change.snapshot_id,
            "source_snapshot_id": change.source_snapshot_id,
            "added": difference.added,
            "removed": difference.removed,
            "changed": difference.changed,
            "key": list(difference.key),
            "columns": [asdict(column) for column in difference.columns],
            "changed_columns": dict(difference.changed_columns),
            "samples": dict(difference.samples),
        }


def compare_branch(
    store: KeepsBranches,
    name: str,
    assets: Mapping[TableName, TableAsset],
    *,
    samples: int = SAMPLES,
) -> list[ChangedTable]:
    """Compare every table that a branch changed with its source's, by the key of its asset."""
    return [
        ChangedTable(change, store.compare(name, change, key=_key(assets, change), samples=samples))
        for change in store.diff(name)
    ]


def _key(assets: Mapping[TableName, TableAsset], change: TableChange) -> tuple[str, ...]:
    return assets[change.table].key if change.table in assets else ()


def show_differences(rows: Sequence[Mapping[str, Any]], output: Output, *, empty: str) -> None:
    """Print changed tables, given as :meth:`ChangedTable.as_dict` has them."""
    if output.as_json:
        output.json(list(rows))
        return
    output.rows(
        [{**row, "columns": column_texts(row["columns"])} for row in rows],
        columns=COLUMNS,
        right=COUNTS,
        empty=empty,
    )
    for row in rows:
        for line in sample_lines(row):
            output.line(line, style="dim")


def sample_lines(row: Mapping[str, Any]) -> list[str]:
    """Write the example rows of a changed table, and the columns that changed most."""
    marks = {"added": "+", "removed": "-", "changed": "~"}
    lines = [
        f"  {marks[group]} " + "  ".join(f"{k}={cell(v)}" for k, v in _content(example).items())
        for group, examples in row["samples"].items()
        for example in examples
    ]
    by_column = ", ".join(f"{name} ({count:,})" for name, count in row["changed_columns"].items())
    return (
        ([f"\n{row['table']}"] if lines else [])
        + lines
        + ([f"  changed most: {by_column}"] if by_column else [])
    )


def _content(example: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out columns that a changed row has alike before and after."""
    return {name: value for name, value in example.items() if not _is_alike(example, name)}


def _is_alike(example: Mapping[str, Any], name: str) -> bool:
    stem = name.removesuffix(" before").removesuffix(" after")
    before, after = f"{stem} before", f"{stem} after"
    return name != stem and before in example and example[before] == example.get(after)


def column_texts(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe changed columns.

    >>> column_texts([{"name": "a", "before": None, "after": "int", "old_name": None}])
    ['+a int']
    """
    return [_column_text(**column) for column in columns]


def _column_text(name: str, before: str | None, after: str | None, old_name: str | None) -> str:
    if before is None:
        return f"+{name} {after}"
    if after is None:
        return f"-{name}"
    renamed = f"{old_name} -> {name}" if old_name != name else name
    return renamed if before == after else f"{renamed} {before} -> {after}"


def as_markdown(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Format changed tables as Markdown, fit for the comment of a pull request."""
    lines = [f"### {title}", ""]
    if not rows:
        return "\n".join([*lines, "No table changes."])
    texts = [{**row, "columns": column_texts(row["columns"])} for row in rows]
    lines += markdown_table(texts, COLUMNS)
    for row in rows:
        samples = sample_lines(row)[1:]
        if samples:
            lines += ["", f"<details><summary>{_escape(row['table'])}</summary>", "", "```text"]
            lines += [line.replace("```", "'''") for line in samples]
            lines += ["```", "", "</details>"]
    return "\n".join(lines)


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Format rows as the lines of a Markdown table; counts of rows stand to the right."""
    rules = ["---:" if column in COUNTS else "---" for column in columns]
    lines = ["| " + " | ".join(columns) + " |", "|" + "|".join(rules) + "|"]
    cells = ([_escape(cell(row[c]) or "-") for c in columns] for row in rows)
    return [*lines, *("| " + " | ".join(texts) + " |" for texts in cells)]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
