"""Superset's connection to the marts' database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from phlo_superset.changes import Change
from phlo_superset.ledger import Ledger, fingerprint

if TYPE_CHECKING:
    from phlo_superset.client import SupersetClient
    from phlo_superset.published import Address

_URI = "sqlalchemy_uri"


@dataclass
class MartsConnection:
    """Superset's database object for the marts.

    Attributes:
        id: Superset's id of it; ``None`` while it is not made, in a dry run.
        uuid: Its UUID; empty while it is not made.
        ledger: What phlo wrote: its address, which datasets and which dashboard.
        saved: The ledger's fingerprints as Superset holds them.
    """

    id: int | None
    uuid: str
    ledger: Ledger
    saved: dict[str, str] = field(default_factory=dict)

    def save_ledger(self, client: SupersetClient, name: str) -> None:
        """Write the ledger, if it changed."""
        if self.id is not None and self.ledger.fingerprints != self.saved:
            client.update("database", self.id, name, {"extra": self.ledger.written()})


def build_uri(address: Address) -> str:
    """Write the SQLAlchemy URI of a database for Superset's driver psycopg2."""
    secret = address.password.get_secret_value() if address.password else ""
    password = f":{quote(secret, safe='')}" if secret else ""
    user, database = quote(address.user, safe=""), quote(address.database, safe="")
    host = f"[{address.host}]" if ":" in address.host else address.host
    query = f"?{urlencode({'sslmode': address.sslmode})}" if address.sslmode else ""
    return f"postgresql+psycopg2://{user}{password}@{host}:{address.port}/{database}{query}"


def sync_database(
    client: SupersetClient, name: str, uri: str, *, dry_run: bool
) -> tuple[MartsConnection, Change]:
    """Create the connection, or correct the address that phlo gave to it.

    A database of that name that phlo did not make, or whose address people changed, is used as it
    is. Where Superset cannot log in with the password that it has, phlo writes its own again.
    """
    matches = client.find("database", database_name=name)
    if not matches:
        return _create(client, name, uri, dry_run=dry_run)
    found = client.connection(matches[0]["id"])
    ledger = Ledger.read(found.get("extra"))
    connection = MartsConnection(
        found["id"], str(matches[0]["uuid"]), ledger, dict(ledger.fingerprints)
    )
    current = found["sqlalchemy_uri"]
    if fingerprint(_address(current)) != ledger.fingerprints.get(_URI):
        kept = ("its address",) if _address(current) != _address(uri) else ()
        return connection, Change("database", name, "keep" if kept else "unchanged", kept=kept)
    if _address(current) == _address(uri) and client.can_connect(found["id"]):
        return connection, Change("database", name, "unchanged")
    ledger.fingerprints[_URI] = fingerprint(_address(uri))
    if not dry_run:
        client.update("database", found["id"], name, {_URI: uri, "extra": ledger.written()})
        connection.saved = dict(ledger.fingerprints)
    return connection, Change("database", name, "update", ("its address and password",))


def _create(
    client: SupersetClient, name: str, uri: str, *, dry_run: bool
) -> tuple[MartsConnection, Change]:
    ledger = Ledger({}, {_URI: fingerprint(_address(uri))})
    connection, change = MartsConnection(None, "", ledger), Change("database", name, "create")
    if dry_run:
        return connection, change
    body: dict[str, Any] = {
        "database_name": name,
        _URI: uri,
        "expose_in_sqllab": True,
        "extra": ledger.written(),
    }
    connection.id = client.create("database", name, body)
    connection.uuid = str((client.get("database", connection.id) or {})["uuid"])
    connection.saved = dict(ledger.fingerprints)
    return connection, change


def _address(uri: str) -> list[str]:
    """Return the parts of a URI without the password, which Superset never shows."""
    parts = urlsplit(uri)
    place = parts.netloc.rpartition("@")[2]
    return [parts.scheme, unquote(parts.username or ""), place, unquote(parts.path), parts.query]
