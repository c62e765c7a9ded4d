"""Opening the catalog, safely when several processes do so at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.folders import CATALOG, WAREHOUSE, make_folder
from phlo.locks import locked
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.io import PY_IO_IMPL
from sqlalchemy.exc import IntegrityError, ProgrammingError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from phlo_iceberg.branches.names import open_branch, require_sql
from phlo_iceberg.branches.records import require_branch
from phlo_iceberg.read.files import LakeFileIO
from phlo_iceberg.service_errors import check_database_uri, explained_errors, require_rest_uri
from phlo_iceberg.write.files import SYNC_PROPERTY

if TYPE_CHECKING:
    from phlo.config import Settings
    from pydantic import SecretStr

    from phlo_iceberg.settings import IcebergSettings

_LOCK_SECONDS = 60
FILE_IO = f"{LakeFileIO.__module__}.{LakeFileIO.__name__}"
_OF_THIS_PROCESS = {"init_catalog_tables": "false", PY_IO_IMPL: FILE_IO}


def catalog_properties(settings: Settings, iceberg: IcebergSettings) -> dict[str, str]:
    """Return what ``pyiceberg.catalog.load_catalog`` needs to open this catalog without phlo."""
    state = settings.lake_dir
    uri, credential = iceberg.catalog_uri, iceberg.catalog_credential
    secret = iceberg.s3_secret_access_key
    is_rest = iceberg.catalog_type == "rest" and uri is not None
    given = {
        "type": iceberg.catalog_type,
        "uri": _plain(uri) or f"sqlite:///{CATALOG.path(state)}",
        "warehouse": iceberg.warehouse or f"file://{WAREHOUSE.path(state)}",  # no URL: not escaped
        "credential": _plain(credential),
        "oauth2-server-uri": f"{_plain(uri)}/v1/oauth/tokens" if is_rest and credential else None,
        "s3.endpoint": iceberg.s3_endpoint,
        "s3.region": iceberg.s3_region,
        "s3.access-key-id": iceberg.s3_access_key_id,
        "s3.secret-access-key": _plain(secret),
        SYNC_PROPERTY: None if iceberg.sync_files else "false",
    }
    return {name: value for name, value in given.items() if value is not None}


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value().rstrip("/") if secret else None


def open_catalog(settings: Settings, iceberg: IcebergSettings) -> Catalog:
    """Open the catalog on the branch of the settings.

    The catalog's own tables are made by one process under a file lock.

    Raises:
        BranchNotFoundError: There is no such branch.
        ConfigurationError: The settings name no catalog, or it refuses them.
        ServiceError: The catalog does not answer.
        UnsupportedCatalogError: The catalog cannot have branches, and one is asked for.
    """
    make_folder(settings.lake_dir)
    properties = catalog_properties(settings, iceberg) | _OF_THIS_PROCESS
    if iceberg.catalog_type == "rest":
        require_rest_uri(_plain(iceberg.catalog_uri))
    else:
        check_database_uri(properties["uri"])
    with (
        explained_errors(),
        locked(settings.lake_dir / "catalog.lock", timeout_seconds=_LOCK_SECONDS),
    ):
        catalog = load_catalog(iceberg.catalog_name, **properties)
        if isinstance(catalog, SqlCatalog):
            _ensure_tables(catalog)
    if not settings.is_on_branch:
        return catalog
    lake = require_sql(catalog)
    require_branch(lake, settings.branch)
    return open_branch(lake, settings.branch)


# On a database server a process of another machine may make the same tables at that moment.
@retry(
    retry=retry_if_exception_type((IntegrityError, ProgrammingError)),
    stop=stop_after_attempt(5),
    reraise=True,
)
def _ensure_tables(catalog: SqlCatalog) -> None:
    catalog.create_tables()


def ensure_namespace(catalog: Catalog, namespace: str) -> None:
    """Make a namespace unless it is there; of several processes one makes it."""
    if not catalog.namespace_exists(namespace):
        try:
            catalog.create_namespace(namespace)
        except (NamespaceAlreadyExistsError, IntegrityError):
            if not catalog.namespace_exists(namespace):
                raise
