"""Which of the models that dbt built may be published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Nodes = Mapping[str, Mapping[str, Any]]

_BROKEN = ("error", "fail", "runtime error")


def withheld_models(
    built: Sequence[str], nodes: Nodes, statuses: Mapping[str, str], vetoes: Mapping[str, str]
) -> dict[str, str]:
    """Say which of the staged models may not be published, each with its reason.

    A model is withheld when it failed itself, when a test of severity error failed or could not
    run on it, when somebody else vetoes it, and when a model that it reads, at whatever distance,
    is withheld or vetoed.

    Args:
        built: Unique ids of staged models.
        nodes: The manifest's nodes.
        statuses: How each node ended, by unique id: dbt's statuses.
        vetoes: Reasons from elsewhere, by unique id, also of nodes that were not staged.

    Example:
        >>> nodes = {"a": {"depends_on": {}}, "b": {"depends_on": {"nodes": ["a"]}}}
        >>> withheld_models(["a", "b"], nodes, {}, {"a": "its check failed"})
        {'a': 'its check failed', 'b': 'a, which it reads, is withheld'}
    """
    reasons = {u: why for u, why in _failed_tests(nodes, statuses).items() if u in built}
    reasons |= dict(vetoes)
    reasons |= {uid: "it failed" for uid in built if statuses.get(uid) in _BROKEN}
    withheld: dict[str, str] = {}
    for unique_id in built:
        above = next((u for u in _ancestors(unique_id, nodes) if u in reasons), None)
        if unique_id in reasons:
            withheld[unique_id] = reasons[unique_id]
        elif above is not None:
            name = nodes[above].get("name", above)
            withheld[unique_id] = f"{name}, which it reads, is withheld"
    return withheld


def blocks(test: Mapping[str, Any], status: str) -> bool:
    """Return whether a test's outcome withholds what it judged: an error, failed or not run."""
    severity = str(test["config"].get("severity") or "error").lower()
    return status in _BROKEN and severity != "warn"


def judged_models(test: Mapping[str, Any]) -> list[str]:
    """Return the models a test judges: the one it is written on, else all that it reads."""
    attached = test.get("attached_node")
    return [attached] if attached else list(test["depends_on"].get("nodes", []))


def _failed_tests(nodes: Nodes, statuses: Mapping[str, str]) -> dict[str, str]:
    """Return the models on which a blocking test failed, each with the first such test."""
    reasons: dict[str, str] = {}
    for unique_id, status in statuses.items():
        node = nodes.get(unique_id)
        if node is not None and node.get("resource_type") == "test" and blocks(node, status):
            for model in judged_models(node):
                reasons.setdefault(model, f"the test {node['name']} failed")
    return reasons


def _ancestors(unique_id: str, nodes: Nodes) -> Iterable[str]:
    seen: dict[str, None] = {}
    waiting = list(nodes[unique_id]["depends_on"].get("nodes", []))
    while waiting:
        above = waiting.pop()
        if above in nodes and above not in seen:
            seen[above] = None
            waiting += nodes[above]["depends_on"].get("nodes", [])
    return seen
