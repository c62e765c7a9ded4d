"""The map names rooms and tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_room_and_test_of_the_map_is_there():
    table = PAGE.split("## Where to change what")[1].split("## How to add")[0]
    named = [name for name in re.findall(r"`([a-z_\-/0-9]+\.py)`", table) if "/" in name]
    missing = [name for name in named if not any(ROOT.glob(f"packages/*/src/{name}"))]
    missing = [name for name in missing if not (ROOT / "packages" / name).exists()]
    assert [name for name in missing if not (ROOT / name).exists()] == []
    assert len(named) > 20


def test_every_module_of_the_ways_is_there():
    ways = PAGE.split("## The way of a load")[1].split("## Where to change what")[0]
    modules = set(re.findall(r"`(phlo(?:_[a-z]+)?(?:\.[a-z_]+)+)`", ways))
    missing = [
        m
        for m in modules
        if not any(
            list(ROOT.glob(f"packages/*/src/{m.replace('.', '/')}{end}"))
            or list(ROOT.glob(f"packages/*/src/{m.rpartition('.')[0].replace('.', '/')}{end}"))
            for end in (".py", "/__init__.py")
        )
    ]
    assert missing == []
