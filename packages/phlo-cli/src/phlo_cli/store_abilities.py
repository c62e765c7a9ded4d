"""What a table store can do beside the least that every store does."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from phlo.protocols import TableStore

Ability = TypeVar("Ability")


def require_ability(store: TableStore, ability: type[Ability], lack: str) -> Ability:
    """Return a store that has an ability.

    Args:
        store: The project's table store.
        ability: The protocol that it must fulfil.
        lack: What a store without it says of itself, such as "has no branches".

    Raises:
        UnsupportedCatalogError: The store does not have it.
    """
    from phlo.errors import UnsupportedCatalogError
    from phlo.installing import install_command

    if isinstance(store, ability):
        return store
    raise UnsupportedCatalogError(
        f"The project's table store {lack}.",
        got=type(store).__name__,
        expected="a store such as phlo-iceberg's on an SQL catalog",
        hint=install_command("phlo-iceberg"),
    )
