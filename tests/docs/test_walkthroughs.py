"""Pages that are done as a reader does them, with what each command prints."""

import os
import sys
from pathlib import Path

import pytest
from phlo.plugins import plugin_manager
from phlo_cli.commands.init import write_project
from phlo_publishing.server import program

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without a package

from walkthrough import walk

DOCS = Path(__file__).parents[2] / "docs"
pytestmark = pytest.mark.slow  # a hundred commands


def test_the_tutorial_does_and_prints_what_it_says(tmp_path):
    walk(DOCS / "tutorial.md", tmp_path, tmp_path)


PAGES = [
    *sorted((DOCS / "how-to").glob("[!i]*.md")),
    *(DOCS / "operations" / f"{name}.md" for name in ("upgrades", "watching")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_does_and_prints_what_it_says(page, tmp_path):
    walk(page, tmp_path, new_project(tmp_path))


def test_a_backup_is_restored_as_its_page_says(postgres_server, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(program("pg_dump").parent), prepend=os.pathsep)
    monkeypatch.setenv("PGHOST", postgres_server.host)
    monkeypatch.setenv("PGPORT", str(postgres_server.port))
    monkeypatch.setenv("PGUSER", postgres_server.user)
    monkeypatch.setenv("PGPASSWORD", postgres_server.password.get_secret_value())
    walk(DOCS / "operations" / "backup.md", tmp_path, new_project(tmp_path))


def new_project(folder):
    """Write the project of `phlo init shop`."""
    templates = plugin_manager().hook.phlo_register_templates()
    (basic,) = (t for several in templates for t in several if t.name == "basic")
    write_project(basic, folder / "shop")
    return folder / "shop"
