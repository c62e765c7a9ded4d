"""The tutorial and the how-to pages, done as a reader does them, with what each command prints."""

import sys
from pathlib import Path

import pytest
from phlo.plugins import plugin_manager
from phlo_cli.commands.init import write_project

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without a package

from walkthrough import walk

DOCS = Path(__file__).parents[2] / "docs"
pytestmark = pytest.mark.slow  # a hundred commands


def test_the_tutorial_does_and_prints_what_it_says(tmp_path):
    walk(DOCS / "tutorial.md", tmp_path, tmp_path)


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("[!i]*.md")), ids=lambda p: p.stem)
def test_a_how_to_page_does_and_prints_what_it_says(page, tmp_path):
    templates = plugin_manager().hook.phlo_register_templates()
    (basic,) = (t for several in templates for t in several if t.name == "basic")
    write_project(basic, tmp_path / "shop")
    walk(page, tmp_path, tmp_path / "shop")
