"""The list of errors leaves none out, and what the guide quotes is raised."""

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "errors_page.py"))


@pytest.fixture(scope="module")
def modules():
    return list(SCRIPT["modules"]())


@pytest.fixture(scope="module")
def classes(modules):
    return SCRIPT["error_classes"](modules)


@pytest.fixture(scope="module")
def messages(modules, classes):
    return SCRIPT["messages"](modules, classes)


def test_a_message_is_shown_with_what_to_do(messages):
    (one,) = [m for m in messages if m.text.startswith("Two assets have the key")]
    assert (one.package, one.error) == ("phlo-core", "DuplicateAssetError")
    assert one.cure


def test_the_page_has_a_row_for_each_message(messages, classes):
    rows = [
        line for line in SCRIPT["page"](messages, classes).splitlines() if line.startswith("| ")
    ]
    heads = len({(m.package, m.error) for m in messages}) * 2
    assert len(rows) == len(messages) + heads


def test_no_class_that_is_raised_with_a_text_is_passed_over(classes, messages):
    files = [f for f in ROOT.glob("packages/*/src/**/*.py") if "phlo-testing" not in f.parts]
    source = "".join(file.read_text() for file in files)
    raised = set(re.findall(r"raise (?:errors\.)?(\w+Error)\(\s*f?\"", source))
    assert (raised & classes.keys()) - {message.error for message in messages} == set()
    assert len(messages) > 250


def test_messages_that_the_guide_quotes_stand_in_the_source(modules):
    guide = (ROOT / "docs/guide/troubleshooting.md").read_text()
    cells = "\n".join(re.findall(r"^\| (`.*?`) \|", guide, re.MULTILINE))
    nodes = [node for _, module in modules for node in ast.walk(module)]
    texts = " ".join(n.value for n in nodes if isinstance(n, ast.Constant) and type(n.value) is str)
    quoted = [q for q in re.findall(r"`([^`]+)`", cells) if not q.startswith("KeyError")]
    longest = [max(re.split(r"\.\.\.|[(),:0-9]", q), key=len).strip() for q in quoted]
    unknown = {part for part in longest if part not in texts}
    assert unknown == {"ModuleNotFoundError", "No group"}  # Python's own; "No {kind} is called"
    assert len(longest) > 15
