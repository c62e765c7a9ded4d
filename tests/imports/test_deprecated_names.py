"""Old names of modules work, warn, and are listed for users."""

import importlib
import re
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "deprecations.md").read_text()
NAMES = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("old", "new"), NAMES)
def test_an_old_name_hands_on_the_new_ones_and_warns(old, new):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=re.escape(new)):
        module = importlib.import_module(old)

    now = importlib.import_module(new)
    assert module.__all__
    assert all(getattr(module, name) is getattr(now, name) for name in module.__all__)
