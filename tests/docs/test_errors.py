"""The list of errors is the source's, and what the guide quotes is in it."""

import ast
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "errors_page.py"))
MESSAGES = SCRIPT["messages"](list(SCRIPT["modules"]()))


def test_the_page_lists_every_error_of_the_source():
    page = ROOT / "docs" / "reference" / "errors.md"
    assert page.read_text() == SCRIPT["page"](), "run `python scripts/errors_page.py`"


def test_no_class_that_is_raised_with_a_text_is_passed_over():
    files = [f for f in ROOT.glob("packages/*/src/**/*.py") if "phlo-testing" not in f.parts]
    source = "".join(file.read_text() for file in files)
    raised = set(re.findall(r"raise (?:errors\.)?(\w+Error)\(\s*f?\"", source))
    classes = SCRIPT["error_classes"](list(SCRIPT["modules"]()))
    assert (raised & classes.keys()) - {message.error for message in MESSAGES} == set()
    assert len(MESSAGES) > 250


def test_every_error_says_what_to_do():
    silent = [message.text for message in MESSAGES if not message.cure]
    assert silent == []


def test_messages_that_the_guide_quotes_stand_in_the_source():
    guide = (ROOT / "docs/guide/troubleshooting.md").read_text()
    cells = "\n".join(re.findall(r"^\| (`.*?`) \|", guide, re.MULTILINE))
    nodes = [node for _, module in SCRIPT["modules"]() for node in ast.walk(module)]
    texts = " ".join(n.value for n in nodes if isinstance(n, ast.Constant) and type(n.value) is str)
    quoted = [q for q in re.findall(r"`([^`]+)`", cells) if not q.startswith("KeyError")]
    longest = [max(re.split(r"\.\.\.|[(),:0-9]", q), key=len).strip() for q in quoted]
    unknown = {part for part in longest if part not in texts}
    assert unknown == {"ModuleNotFoundError", "No group"}  # Python's own; "No {kind} is called"
    assert len(longest) > 15
