"""Parts of pyiceberg's REST catalog that it does not publish; see :mod:`pyiceberg_private`.

They stand apart, since that catalog imports `requests`, for which an SQL catalog would wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.rest import _RETRY_ARGS
from pyiceberg.catalog.rest.response import _handle_non_200_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.catalog.rest import RestCatalog
    from requests import HTTPError, Response

REST_RETRY: dict[str, Any] = _RETRY_ARGS
"""How pyiceberg repeats a REST request whose token has expired; no public decorator does."""


def post(catalog: RestCatalog, url: str, body: bytes) -> Response:
    """Post to a REST catalog with its session; ``transactions/commit`` has no public method."""
    return catalog._session.post(url, data=body)


def raise_rest_error(error: HTTPError, errors: Mapping[int, type[Exception]]) -> None:
    """Raise pyiceberg's exception for a REST catalog's answer, with the server's message."""
    _handle_non_200_response(error, dict(errors))
