"""`phlo lineage`: what tables and columns are made of, and what a change of one touches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from phlo_cli.lineage import Column, Lineage
    from phlo_cli.output import Output
    from phlo_cli.project_index import ProjectIndex


@click.group()
def lineage() -> None:
    """See what tables and columns are made of, and what a change of one touches."""


@lineage.command()
@click.argument("name", required=False, metavar="[TABLE[.COLUMN]]")
@output_options()
def show(name: str | None, output: Output) -> None:
    """Show what TABLE or TABLE.COLUMN is made of, and everything that is made of it.

    Without a name, all tables. What runs recorded last is shown: a table that no run has made
    since its SQL changed has the columns of before.
    """
    index, known = _read(output)
    if name is None:
        rows = _nodes(known)
        output.rows(rows, columns=("table", "made_of", "read_by"), empty="There is no table yet.")
        return
    from phlo_cli.lineage import Column, find_place

    table, column = find_place(name, known, index)
    if column is None:
        _show_table(table, known, output)
    else:
        _show_column(Column(table, column), known, output)


@lineage.command()
@click.argument("name", required=False, metavar="[TABLE[.COLUMN]]")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["mermaid", "dot", "json"]),
    default="mermaid",
    show_default=True,
    help="What to write.",
)
@click.option("--columns", is_flag=True, help="With the columns of each table.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write it; to standard output if not given.",
)
@output_options(json_option=False)
def export(
    name: str | None, format_name: str, columns: bool, out: Path | None, output: Output
) -> None:
    """Write the lineage as a diagram, of everything or of what TABLE or its COLUMN touches."""
    index, known = _read(output)
    from phlo_cli.lineage_diagrams import draw

    text = draw(format_name, known, _chosen(name, known, index), with_columns=columns)
    if out is None:
        click.echo(text)
    else:
        out.write_text(f"{text}\n", encoding="utf-8")


def _read(output: Output) -> tuple[ProjectIndex, Lineage]:
    from phlo_cli.known_project import read_project
    from phlo_cli.project_settings import require_project

    index = read_project(output)
    from phlo.orchestration.instance import open_instance

    from phlo_cli.lineage import read_lineage

    with open_instance(require_project()) as instance:
        return index, read_lineage(index, instance)


def _chosen(name: str | None, known: Lineage, index: ProjectIndex) -> set[str] | set[Column]:
    """Return the nodes to draw, or the columns where one column is asked for."""
    if name is None:
        return set(known.nodes)
    from phlo_cli.lineage import Column, find_place

    table, column = find_place(name, known, index)
    if column is None:
        return {table, *known.above(table), *known.below(table)}
    place = Column(table, column)
    return {place, *known.columns_above(place), *known.columns_below(place)}


def _nodes(known: Lineage) -> list[dict[str, Any]]:
    return [
        {
            "table": node.name,
            "type": node.type,
            "made_of": list(node.parents),
            "read_by": known.children(node.name),
        }
        for node in known.nodes.values()
    ]


def _show_table(table: str, known: Lineage, output: Output) -> None:
    columns = known.nodes[table].columns
    if output.as_json:
        output.json(
            {
                "table": table,
                "made_of": known.above(table),
                "touches": known.below(table),
                "columns": {n: _texts(c) for n, c in columns.items()} if columns else None,
            }
        )
        return
    output.line(table, style="bold")
    output.line(f"made of  {_list(known.above(table))}")
    output.line(f"touches  {_list(known.below(table))}\n")
    output.rows(
        [{"column": name, "made_of": _texts(of)} for name, of in (columns or {}).items()],
        columns=("column", "made_of"),
        empty="No run has recorded what its columns are made of.",
    )


def _show_column(column: Column, known: Lineage, output: Output) -> None:
    above, below = known.columns_above(column), known.columns_below(column)
    unknown = known.unknown_below(column)
    if output.as_json:
        answer = {"column": str(column), "made_of": _texts(above), "touches": _texts(below)}
        output.json({**answer, "unknown": unknown})
        return
    output.line(str(column), style="bold")
    for title, columns in (("made of", above), ("touches", below)):
        output.line(f"{title}  {'' if columns else '-'}".rstrip() + (":" if columns else ""))
        for one in columns:
            output.line(f"  {one}")
    if unknown:
        output.line(
            f"\nIt may touch {_list(unknown)} too: no run has recorded what their columns are "
            "made of.",
            style="yellow",
        )


def _texts(columns: Any) -> list[str]:
    return [str(column) for column in columns]


def _list(names: list[str]) -> str:
    return ", ".join(names) or "-"
