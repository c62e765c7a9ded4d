"""`phlo init`: write a new project."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click
from phlo.words import counted

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo.values import ProjectTemplate

    from phlo_cli.output import Output


@click.command(short_help="Write a new project.")
@click.argument("name", default=".")
@click.option("--template", default="basic", show_default=True, help="Which project to write.")
@click.option("--list", "list_templates", is_flag=True, help="List the templates.")
@output_options()
def init(name: str, template: str, list_templates: bool, output: Output) -> None:
    """Write a new project into the folder NAME, or into this one.

    No file that is there already is changed: if one is in the way, nothing is written.
    """
    templates = _templates()
    if list_templates:
        rows = [{"name": t.name, "description": t.description} for t in templates.values()]
        output.rows(rows, columns=("name", "description"), empty="There is no template.")
        return
    if template not in templates:
        raise click.BadParameter(
            f"{template!r} is none of {', '.join(sorted(templates))}.", param_hint="--template"
        )
    folder = Path(name).resolve()
    written = write_project(templates[template], folder)
    from phlo.installing import install_command

    missing = [p for p in templates[template].packages if not _is_installed(p)]
    if output.as_json:
        files = [str(p.relative_to(folder)) for p in written]
        output.json({"folder": str(folder), "files": files, "missing_packages": missing})
        return
    output.line(f"Wrote {counted(len(written), 'file')} to {folder}.")
    if missing:
        output.line(f"It needs what is not installed: {install_command(*missing)}", "yellow")
    go = "" if folder == Path.cwd() else f"cd {name} && "
    output.line(f"Next: {go}{templates[template].first_command}")


def _is_installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _templates() -> dict[str, ProjectTemplate]:
    from phlo.plugins import plugin_manager

    handed_over = plugin_manager().hook.phlo_register_templates()
    return {template.name: template for templates in handed_over for template in templates}


def write_project(template: ProjectTemplate, folder: Path) -> list[Path]:
    """Copy a template, and what every project has; a file of the template's own wins.

    Names that begin with ``dot_`` become names that begin with a dot, and ``PROJECT_NAME`` in a
    file becomes the folder's name.

    Returns:
        The files written, sorted.

    Raises:
        ConfigurationError: A file is in the way; nothing was written.
    """
    from phlo.errors import ConfigurationError
    from phlo.folders import ENV_FILE

    common = _planned(Path(__file__).parents[1] / "templates" / "common", folder)
    planned = dict(common) | dict(_planned(Path(template.folder), folder))
    there = sorted(str(path.relative_to(folder)) for path in planned if path.exists())
    if there:
        raise ConfigurationError(
            f"{folder} has files that the template {template.name!r} would write: "
            f"{', '.join(there)}.",
            hint="Choose another folder, or move them away.",
        )
    for path, content in planned.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == ENV_FILE:
            path.touch(mode=0o600)  # people write tokens into it
        path.write_bytes(content.replace(b"PROJECT_NAME", folder.name.encode()))
    return sorted(planned)


def _planned(source: Path, folder: Path) -> Iterator[tuple[Path, bytes]]:
    for file in sorted(source.rglob("*")):
        place = file.relative_to(source)
        if file.is_file() and not any(map(_is_left_by_a_run, place.parts)):
            name = file.name.replace("dot_", ".", 1) if file.name.startswith("dot_") else file.name
            yield folder / place.with_name(name), file.read_bytes()


def _is_left_by_a_run(name: str) -> bool:
    """Return whether a template that was run in its own place leaves such a file or folder."""
    return name.startswith(".") or name in ("__pycache__", "dbt_packages", "logs", "target")
