"""Publishing, under the name that the guide uses."""

from phlo_publishing.address import PostgresAddress
from phlo_publishing.declaration import publishing_asset
from phlo_publishing.marts import PublishedMart
from phlo_publishing.postgres import PostgresResource
from phlo_publishing.publish import publish_marts_to_postgres

__all__ = [
    "PostgresAddress",
    "PostgresResource",
    "PublishedMart",
    "publish_marts_to_postgres",
    "publishing_asset",
]
