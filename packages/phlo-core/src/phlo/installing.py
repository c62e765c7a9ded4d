"""The command that installs further packages of phlo, from where this one came."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

CORE = "phlo-core"


def install_command(*requirements: str) -> str:
    """Return the line that installs distributions, beside the phlo that runs.

    A phlo that was installed from a folder of wheels or from a checkout is completed from there: an
    index may hold nothing of that name, or something of somebody else.

    Args:
        requirements: Names of distributions, such as ``phlo-cli[dev]``.
    """
    origin = _origin()
    return "pip install " + " ".join(_placed(requirement, origin) for requirement in requirements)


def _origin() -> Path | None:
    """Return the wheel or folder that phlo-core was installed from; ``None``: from an index."""
    try:
        text = metadata.distribution(CORE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    address = urlsplit(json.loads(text)["url"]) if text else None
    if address is None or address.scheme != "file":
        return None
    path = Path(unquote(address.path))
    return path if path.exists() else None


def _placed(requirement: str, origin: Path | None) -> str:
    name = requirement.partition("[")[0]
    extras = requirement.removeprefix(name)
    if origin is not None and origin.is_dir() and origin.with_name(name).is_dir():
        return f"-e {_quoted(f'{origin.with_name(name)}{extras}')}"
    folder = origin.parent if origin is not None else None
    wheels = sorted(folder.glob(f"{name.replace('-', '_')}-*.whl")) if folder else []
    return _quoted(f"{wheels[-1]}{extras}" if wheels else requirement)


def _quoted(requirement: str) -> str:
    return requirement if re.fullmatch(r"[\w./-]+", requirement) else f'"{requirement}"'
