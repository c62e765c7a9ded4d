"""Pandera models as contracts: Arrow types, SQL rules, and what only Pandera can judge.

Importing this package loads no Pandera; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phlo.contract.model import Contract, ContractColumn
    from phlo.contract.rules import FrameRule, Rule

__all__ = ["Contract", "ContractColumn", "FrameRule", "Rule"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from phlo.contract import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
