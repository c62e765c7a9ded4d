"""Read what the project declares: from its index, or from its code where that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import PhloError
from phlo.names import TableName
from phlo.redaction import redact
from phlo.values import TableAsset

from phlo_cli.project_index import load_index
from phlo_cli.project_settings import require_project

if TYPE_CHECKING:
    from phlo_cli.output import Output
    from phlo_cli.project_index import ProjectIndex


def read_project(output: Output) -> ProjectIndex:
    """Read what the project declares; its code is imported only where something changed.

    A project that cannot be loaded is shown as it was last, with a warning on standard error.

    Raises:
        PhloError: The project cannot be loaded, and never was.
    """
    return read_project_with_warning(output)[0]


def read_project_with_warning(output: Output) -> tuple[ProjectIndex, str]:
    """Read what the project declares, as :func:`read_project`, with the warning that was printed.

    Returns:
        The index, and the warning; empty where the project could be loaded.
    """
    settings = require_project()
    stored = load_index(settings)
    if stored is not None and stored.is_current(settings):
        return stored, ""
    from phlo_cli.location import open_location

    try:
        open_location(settings).instance.dispose()
    except Exception as error:
        if stored is None:
            raise
        warning = _describe(error, stored)
        output.warn(f"{warning}\n")
        return stored, warning
    current = load_index(settings)
    assert current is not None
    return current, ""


def read_tables(output: Output) -> dict[TableName, TableAsset]:
    """Read which asset makes which table, by its index (see :func:`read_project`)."""
    tables = {}
    for asset in read_project(output).assets:
        if asset.table is not None:
            name = TableName.parse(asset.table)
            tables[name] = TableAsset(
                table=name,
                asset_key=tuple(asset.key.split("/")),
                names=asset.names,
                key=asset.unique_key,
                sensitive=asset.sensitive,
            )
    return tables


def _describe(error: Exception, stored: ProjectIndex) -> str:
    message = str(error) if isinstance(error, PhloError) else f"{type(error).__name__}: {error}"
    return (
        f"The project cannot be loaded, so this is its last known state ({stored.read_at}).\n"
        f"{redact(message)}"
    )
