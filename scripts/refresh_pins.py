"""Write the versions that uv resolves into `[tool.uv] constraint-dependencies`.

Usage: python scripts/refresh_pins.py path/to/uv. The lock file itself is not committed, since it
spells out download addresses.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PINS = re.compile(r"constraint-dependencies = \[.*?\]", re.DOTALL)


def main(uv: str) -> None:
    """Resolve without the present pins, then write the new ones."""
    file = ROOT / "pyproject.toml"
    before = file.read_text()
    file.write_text(PINS.sub('constraint-dependencies = [\n    "duckdb==1.5.5",\n]', before))
    try:
        subprocess.run([uv, "lock", "--upgrade"], cwd=ROOT, check=True)
        lock = tomllib.loads((ROOT / "uv.lock").read_text())
    except (subprocess.CalledProcessError, OSError):
        file.write_text(before)
        raise
    versions: dict[str, set[str]] = {}
    for package in lock["package"]:
        if "registry" in package["source"]:
            versions.setdefault(package["name"], set()).add(package["version"])
    pins = [f"{name}=={min(found)}" for name, found in sorted(versions.items()) if len(found) == 1]
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    file.write_text(PINS.sub(f"constraint-dependencies = [\n{lines}]", before))


if __name__ == "__main__":
    main(sys.argv[1])
