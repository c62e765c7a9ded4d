"""Pages that are done as a reader does them, with what each command prints."""

import os
import sys
from pathlib import Path

import pytest
from phlo.plugins import plugin_manager
from phlo_cli.commands.init import write_project
from phlo_publishing.server import program

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without a package

from walkthrough import FILE, STEP, Walk, walk

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


GUIDES = ("getting-started", "ingestion", "publishing", "branches", "plans", "undo")


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_does_and_prints_what_it_says(name, tmp_path):
    """Follow a page in the project that the first guide writes."""
    started = (DOCS / "guide" / "getting-started.md").read_text()
    reader = Walk(tmp_path, tmp_path / "shop")
    for step in STEP.finditer(started):
        if step["language"] == "python" and (file := FILE.match(step["text"])):
            reader.write(file[1], step["text"])
    walk(DOCS / "guide" / f"{name}.md", tmp_path, reader.folder)


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
