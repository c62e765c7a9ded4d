"""Where a source looked when it delivered nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from phlo.errors import BrokenSourceError
from phlo.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def explain_nothing(
    locations: Iterable[Mapping[str, Any]],
    file_count: int,
    absent_selectors: Sequence[tuple[str, str]],
    routed_elsewhere: Mapping[str, int],
) -> str | None:
    """Return why a source that delivered no row found nothing; ``None``: it looked, and saw none.

    Args:
        locations: What dlt recorded of the places that the source reads from.
        file_count: Files that were listed.
        absent_selectors: Addresses of answers that lacked what was to be selected, with the
            selector.
        routed_elsewhere: Rows that were delivered, but for other tables.

    Raises:
        BrokenSourceError: A folder is not there.
    """
    if routed_elsewhere:
        return "The resource routes no row to this table."
    for location in locations:
        if location.get("kind") == "filesystem":
            _check_folder(str(location["location"]))
            if file_count == 0:
                place = (
                    f"{redact(str(location['location'])).rstrip('/')}/{location.get('glob', '*')}"
                )
                return f"No file matches {place}."
    if absent_selectors:
        url, selector = absent_selectors[0]
        return f"The answer of {redact(url)} has nothing at data_selector {selector!r}."
    return None


def _check_folder(location: str) -> None:
    """Raise where a folder of this machine does not exist; object stores have no folders."""
    url = urlparse(location)
    if url.scheme != "file":
        return
    folder = Path(url2pathname(url.path))
    if not folder.is_dir():
        raise BrokenSourceError(
            f"The folder {str(folder)!r}, from which the source reads files, does not exist.",
            hint="Correct bucket_url, or make the folder.",
            folder=str(folder),
        )
