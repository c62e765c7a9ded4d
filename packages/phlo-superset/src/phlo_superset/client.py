"""Superset's REST API: log in, find, create and update objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests
from phlo.errors import ConfigurationError, FatalRunError, ServiceError
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo_superset.settings import SupersetSettings

OLDEST_VERSION = 6
"""Major version of Superset whose API takes what phlo sends."""

_PAGE_SIZE = 100
_BUSY = (429, 502, 503, 504)
_RETRIES = 4


class SupersetClient:
    """A session with Superset; log in before anything else.

    A request that never reached Superset is sent again, and so is a question that it was too busy
    to answer. A write that got no answer is not: the next sync looks what became of it.

    Args:
        settings: Address, user and password.

    Raises:
        ConfigurationError: Address or password is not set.
    """

    def __init__(self, settings: SupersetSettings) -> None:
        if settings.url is None or settings.password is None:
            name = "URL" if settings.url is None else "PASSWORD"
            raise ConfigurationError(
                f"PHLO_SUPERSET_{name} is not set.",
                hint=f"Set PHLO_SUPERSET_{name} in the environment or in .env.",
            )
        self.url, self._settings = settings.url, settings
        self._password = settings.password
        self._session = requests.Session()
        retries = Retry(
            total=_RETRIES,
            status_forcelist=_BUSY,
            allowed_methods={"GET"},
            backoff_factor=0.2,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retries))
        if settings.ca_file is not None:
            self._session.verify = str(settings.ca_file)

    def log_in(self) -> None:
        """Log in, and get the token that Superset wants with each write.

        Raises:
            ServiceError: Superset cannot be reached, or is too busy.
            ConfigurationError: It refuses the user, is too old, or is no Superset.
        """
        self._check_version()
        body = {
            "username": self._settings.user,
            "password": self._password.get_secret_value(),
            "provider": self._settings.provider,
        }
        response = self._send("POST", "/api/v1/security/login", json=body)
        if response.status_code in (400, 401):
            raise ConfigurationError(
                f"Superset at {self.url} refuses the user {self._settings.user!r}.",
                hint="Correct PHLO_SUPERSET_USER, PHLO_SUPERSET_PASSWORD and "
                "PHLO_SUPERSET_PROVIDER.",
            )
        token = self._answer(response, "log in")["access_token"]
        # Not a header of the session: ~/.netrc would take its place.
        self._session.auth = _Bearer(token)
        csrf_token = self._request("GET", "/api/v1/security/csrf_token/", "log in")["result"]
        self._session.headers.update({"X-CSRFToken": csrf_token, "Referer": self.url})

    def get(self, resource: str, key: int | str) -> dict[str, Any] | None:
        """Read an object by id, UUID or slug; ``None`` where there is none that the user sees."""
        path = f"/api/v1/{resource}/{key}"
        response = self._send("GET", path)
        if response.status_code == 404:
            return None
        return self._answer(response, f"read the {resource} {key}")["result"]

    def find(self, resource: str, **filters: Any) -> list[dict[str, Any]]:
        """List the objects whose columns have these values; a tuple is an operator and a value."""
        return list(self._pages(resource, filters))

    def _pages(self, resource: str, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
        conditions = []
        for column, value in filters.items():
            operator, wanted = value if isinstance(value, tuple) else ("eq", value)
            conditions.append({"col": column, "opr": operator, "value": wanted})
        order = {"order_column": "changed_on_delta_humanized", "order_direction": "asc"}
        page = 0
        while True:
            query = {"filters": conditions, "page": page, "page_size": _PAGE_SIZE} | order
            params = {"q": json.dumps(query)}
            path = f"/api/v1/{resource}/"
            answer = self._request("GET", path, f"list the {resource}s", params=params)
            yield from answer["result"]
            page += 1
            if page * _PAGE_SIZE >= answer["count"] or not answer["result"]:
                return

    def create(self, resource: str, name: str, body: dict[str, Any]) -> int:
        """Create an object, and return its id."""
        path = f"/api/v1/{resource}/"
        return self._request("POST", path, f"create the {resource} {name}", json=body)["id"]

    def update(self, resource: str, key: int, name: str, body: dict[str, Any]) -> None:
        """Change the named attributes of an object."""
        path = f"/api/v1/{resource}/{key}"
        self._request("PUT", path, f"update the {resource} {name}", json=body)

    def can_connect(self, database: int) -> bool:
        """Return whether Superset reaches one of its databases."""
        response = self._send("GET", f"/api/v1/database/{database}/schemas/", params=_FORCED)
        return response.status_code == 200

    def connection(self, database: int) -> dict[str, Any]:
        """Read a database with its SQLAlchemy URI, in which Superset masks the password."""
        path = f"/api/v1/database/{database}/connection"
        what = f"read the connection of database {database}"
        return self._request("GET", path, what)["result"]

    def _check_version(self) -> None:
        response = self._send("GET", "/version")
        version = _json(response).get("version_string")
        if response.status_code != 200 or not version:
            raise self._no_superset(response)
        major = str(version).partition(".")[0]
        if major.isdigit() and 0 < int(major) < OLDEST_VERSION:
            raise ConfigurationError(
                f"Superset at {self.url} is too old.",
                got=str(version),
                expected=f"{OLDEST_VERSION}.0 or newer",
                hint="Upgrade Superset.",
            )

    def _request(self, method: str, path: str, what: str, **options: Any) -> dict[str, Any]:
        return self._answer(self._send(method, path, **options), what)

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request; it follows no redirect, since another host must not get the password."""
        try:
            return self._session.request(
                method,
                f"{self.url}{path}",
                timeout=self._settings.timeout_seconds,
                allow_redirects=False,
                **options,
            )
        except requests.exceptions.SSLError as exc:
            raise ConfigurationError(
                f"Superset's certificate at {self.url} is not trusted: {_reason(exc)}.",
                hint="Set PHLO_SUPERSET_CA_FILE to the file of the authority that signed it.",
            ) from exc
        except requests.exceptions.RequestException as exc:
            raise ServiceError(
                f"Superset at {self.url} cannot be reached: {_reason(exc)}.",
                hint="Start Superset, or correct PHLO_SUPERSET_URL.",
            ) from exc

    def _answer(self, response: requests.Response, what: str) -> dict[str, Any]:
        """Return the JSON of a good answer; raise any other as an error of phlo."""
        status = response.status_code
        if status in (200, 201):
            return _json(response) or self._raise(self._no_superset(response))
        if status in _BUSY:
            raise ServiceError(
                f"Superset at {self.url} is too busy to {what} (HTTP {status}).",
                hint="Run it again when Superset is well.",
            )
        if status in (301, 302, 307, 308):
            raise self._no_superset(response)
        if status in (401, 403):
            raise ConfigurationError(
                f"The user {self._settings.user!r} may not {what} in Superset: "
                f"{_message(response)}.",
                hint="Give the user the role Admin, or one that may read and write databases, "
                "datasets, charts and dashboards.",
            )
        raise FatalRunError(
            f"Superset cannot {what} (HTTP {status}): {_message(response)}.",
            hint="See Superset's log for more.",
            status=status,
        )

    @staticmethod
    def _raise(error: Exception) -> Any:
        raise error

    def _no_superset(self, response: requests.Response) -> ConfigurationError:
        target = response.headers.get("Location")
        return ConfigurationError(
            f"What answers at {self.url} is not Superset's API (HTTP {response.status_code}).",
            got=f"a redirect to {target}" if target else None,
            hint="Set PHLO_SUPERSET_URL to the address at which Superset's pages are, "
            "without a path behind it.",
        )


_FORCED = {"q": json.dumps({"force": True})}


class _Bearer(AuthBase):
    """Sends the token of a session."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _message(response: requests.Response) -> str:
    """Return what Superset says of an error, in one of the shapes that it has for that."""
    answer = _json(response)
    errors = answer.get("errors")
    if isinstance(errors, list) and errors:
        return "; ".join(_error_text(error) for error in errors).rstrip(".")
    message = answer.get("message") or answer.get("error") or response.reason
    return (message if isinstance(message, str) else json.dumps(message)).rstrip(".")


def _error_text(error: dict[str, Any]) -> str:
    """Return the message of an error, and what it says of single attributes."""
    details = (error.get("extra") or {}).get("messages")
    text = str(error.get("message", error)).rstrip(".")
    return f"{text}: {json.dumps(details)}" if details else text


def _reason(exc: BaseException) -> str:
    """Return the innermost reason of an error of requests, which says what happened."""
    cause: BaseException = exc
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    return str(cause).rstrip(".") or type(cause).__name__
