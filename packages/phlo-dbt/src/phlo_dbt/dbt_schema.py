"""Pandera schemas from dbt YAML: the tests written there are the contract."""

from __future__ import annotations

import keyword
import math
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandera.pandas as pa
import yaml
from phlo.errors import ConfigurationError, InvalidArgumentError, nearest
from phlo.schemas import PhloSchema

from phlo_dbt.type_inference import infer_type, nullable_type, type_of_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RANGES = ("dbt_expectations.expect_column_values_to_be_between", "dbt_utils.accepted_range")
_NUMBERS = (int, float)


def dbt_model_to_pandera(
    path: str | Path, model_name: str, class_name: str | None = None
) -> type[PhloSchema]:
    """Make a Pandera model of a dbt model's YAML.

    Tests become constraints: ``not_null``, ``unique``, ``accepted_values``,
    ``dbt_expectations.expect_column_values_to_be_between`` and ``dbt_utils.accepted_range``. All
    others, and those that only warn or look at some rows, are named in the class attribute
    ``__phlo_unmapped_tests__``. A column without ``not_null`` takes nulls; every column listed
    must exist.

    Args:
        path: The YAML file.
        model_name: ``name:`` of a model in it.
        class_name: Name of the class; the model's name in PascalCase by default.

    Returns:
        A subclass of :class:`~phlo.schemas.PhloSchema` whose docstring is the model's description.

    Raises:
        ConfigurationError: The file is missing or is no YAML of dbt models.
        InvalidArgumentError: The file has no such model; lists those it has.
        UnsupportedTypeError: A ``data_type:`` is unknown.

    Source: developer guide, "Approach 2: Generate Schemas from dbt YAML".
    """
    file = Path(path)
    model = _find_model(file, model_name)
    columns = [_Column.read(entry, model_name) for entry in model.get("columns") or []]
    unmapped = [f"{model_name}: {t.label}" for t in _tests(model)]
    unmapped += [text for column in columns for text in column.unmapped]
    attributes = _class_attributes(columns) | {
        "__doc__": model.get("description") or f"The dbt model {model_name}.",
        "__module__": __name__,
        "__phlo_unmapped_tests__": tuple(unmapped),
    }
    return type(class_name or _pascal_case(model_name), (PhloSchema,), attributes)


def _find_model(file: Path, name: str) -> Mapping[str, Any]:
    models = {m["name"]: m for m in _read_models(file)}
    if name in models:
        return models[name]
    near = nearest(name, models)
    raise InvalidArgumentError(
        f"{file} has no model {name!r}.",
        got=repr(name),
        expected=f"one of {sorted(models)}",
        hint=f"Did you mean {near[0]!r}?" if near else "Name a model of the file.",
        model=name,
        available=sorted(models),
    )


def _read_models(file: Path) -> list[Mapping[str, Any]]:
    hint = "Give the path of a YAML file with a `models:` list, as dbt reads it."
    try:
        content = yaml.safe_load(file.read_text())
    except FileNotFoundError as exc:
        raise ConfigurationError(f"The file {file} does not exist.", hint=hint) from exc
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{file} is not valid YAML: {exc}", hint=hint) from exc
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, list) or not all(isinstance(m, dict) and "name" in m for m in models):
        raise ConfigurationError(f"{file} declares no dbt models.", hint=hint)
    return models


def _pascal_case(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _class_attributes(columns: Iterable[_Column]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
    for number, column in enumerate(columns):
        name = _attribute_name(column.name, number)
        alias = None if name == column.name else column.name
        annotations[name] = column.annotation
        attributes[name] = pa.Field(alias=alias, **column.constraints)
    return attributes | {"__annotations__": annotations}


def _attribute_name(column: str, number: int) -> str:
    """The column's own name, or another where Pandera or Python would not take it."""
    usable = column.isidentifier() and not keyword.iskeyword(column)
    free = not column.startswith("_") and not hasattr(PhloSchema, column)
    return column if usable and free else f"column_{number}"


@dataclass(frozen=True)
class _Test:
    """One data test of a column or model, in whichever of dbt's forms it was written."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, entry: str | Mapping[str, Any]) -> _Test:
        if isinstance(entry, str):
            return cls(entry)
        body = dict(entry)
        name = body.pop("test_name", None)
        if name is None:
            name, inner = next(iter(entry.items()))
            body = dict(inner or {})
        config = dict(body.pop("config", None) or {})
        for key in ("severity", "where", "warn_if", "error_if", "enabled"):
            if key in body:
                config[key] = body.pop(key)
        return cls(name, body.pop("arguments", None) or body, config)

    @property
    def softening(self) -> str | None:
        """Why the test is no constraint on every row; ``None`` if it is one."""
        for key in ("where", "error_if"):
            if self.config.get(key):
                return f"{key}: {self.config[key]}"
        if str(self.config.get("severity", "error")).lower() == "warn":
            return "severity: warn"
        if self.arguments.get("row_condition"):
            return f"row_condition: {self.arguments['row_condition']}"
        return "enabled: false" if self.config.get("enabled", True) is False else None

    @property
    def label(self) -> str:
        return f"{self.name} ({self.softening})" if self.softening else self.name


def _tests(entry: Mapping[str, Any]) -> list[_Test]:
    written = [*(entry.get("data_tests") or []), *(entry.get("tests") or [])]
    return [_Test.read(test) for test in written]


@dataclass(frozen=True)
class _Column:
    """A column as the schema will have it."""

    name: str
    annotation: Any
    constraints: Mapping[str, Any]
    unmapped: tuple[str, ...]

    @classmethod
    def read(cls, entry: Mapping[str, Any], model: str) -> _Column:
        name, tests = entry["name"], _tests(entry)
        hard = [test for test in tests if not test.softening]
        kind = _column_type(entry, hard, f"{model}.{name}")
        names = {test.name for test in hard}
        nullable = "not_null" not in names
        constraints: dict[str, Any] = {"nullable": nullable, "unique": "unique" in names}
        unmapped = [test.label for test in tests if test.softening]
        for test in hard:
            mapped = _constraint(test, kind)
            constraints |= mapped or {}
            unmapped += [test.label] if mapped is None else []
        if entry.get("description"):
            constraints["description"] = entry["description"]
        annotation = nullable_type(kind) if nullable else kind
        return cls(name, annotation, constraints, tuple(f"{name}: {text}" for text in unmapped))


def _column_type(entry: Mapping[str, Any], tests: list[_Test], where: str) -> Any:
    if entry.get("data_type"):
        return type_of_sql(str(entry["data_type"]), where=where)
    accepted = [v for t in tests if t.name == "accepted_values" for v in _accepted_values(t)]
    ranges = [t.arguments for t in tests if t.name in _RANGES]
    bounds = [a.get(key) for a in ranges for key in ("min_value", "max_value")]
    return infer_type(entry["name"], accepted=accepted, bounds=[b for b in bounds if b is not None])


def _accepted_values(test: _Test) -> list[Any]:
    values = list(test.arguments.get("values") or [])
    if test.arguments.get("quote", True):
        return values
    return [_number(v) if isinstance(v, str) else v for v in values]


def _number(text: str) -> Any:
    for kind in _NUMBERS:
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _constraint(test: _Test, kind: Any) -> dict[str, Any] | None:
    """What a hard test asks of a column; ``None`` where a schema cannot say it."""
    if test.name in ("not_null", "unique"):
        return {}
    if test.name == "accepted_values":
        values = [_as_type(value, kind) for value in _accepted_values(test)]
        return {"isin": values} if values and None not in values else None
    return _range(test.arguments, kind) if test.name in _RANGES else None


def _range(arguments: Mapping[str, Any], kind: Any) -> dict[str, Any] | None:
    inclusive = arguments.get("inclusive", True) and not arguments.get("strictly", False)
    low, high = ("ge", "le") if inclusive else ("gt", "lt")
    given = {low: arguments.get("min_value"), high: arguments.get("max_value")}
    bounds = {name: _bound(value, kind) for name, value in given.items() if value is not None}
    return bounds if bounds and None not in bounds.values() else None


def _bound(value: Any, kind: Any) -> Any:
    """A bound as a value; ``None`` for SQL expressions and for bounds on text."""
    if kind in (str, bytes, bool):
        return None
    if isinstance(value, str):
        value = _number(value.strip("'")) if kind in _NUMBERS else value.strip("'")
    if kind is int and isinstance(value, float) and math.isfinite(value):
        return value
    return _as_type(value, kind)


def _as_type(value: Any, kind: Any) -> Any:
    """A value of YAML in the column's type; ``None`` where it has none there."""
    if value is None:
        return None
    try:
        if kind is str:
            return value if isinstance(value, str) else _text(value)
        if kind is datetime:
            return datetime.fromisoformat(str(value))
        if kind is date:
            return date.fromisoformat(str(value))
        if kind is bool:
            return value if isinstance(value, bool) else None
        if kind in _NUMBERS:
            exact = kind(value)
            return exact if exact == (_number(value) if isinstance(value, str) else value) else None
        return Decimal(str(value))
    except (TypeError, ValueError, InvalidOperation):
        return None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
