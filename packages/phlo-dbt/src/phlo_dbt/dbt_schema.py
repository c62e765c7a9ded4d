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

_RANGES = (
    "accepted_range",
    "dbt_expectations.expect_column_values_to_be_between",
    "dbt_utils.accepted_range",
    "expect_column_values_to_be_between",
)
_NUMBERS = (int, float)


def dbt_model_to_pandera(
    path: str | Path, model_name: str, class_name: str | None = None
) -> type[PhloSchema]:
    """Make a Pandera model of a dbt model's YAML.

    Tests become constraints: ``not_null``, ``unique``, ``accepted_values``,
    ``dbt_expectations.expect_column_values_to_be_between`` and ``dbt_utils.accepted_range``. All
    others, and those that only warn or look at some rows, are named in the class attribute
    ``__phlo_unmapped_tests__``. Several tests of one kind hold together: the stricter bound, the
    values that all accept. Columns whose type nothing in the YAML tells are named in
    ``__phlo_guessed_columns__``: a check accepts their own type. A column without ``not_null``
    takes nulls; every column listed
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
    columns = [_Column.read(entry, model_name) for entry in _column_entries(model, file)]
    unmapped = [f"{model_name}: {t.label}" for t in _tests(model, f"{file}, {model_name}")]
    unmapped += [text for column in columns for text in column.unmapped]
    attributes = _class_attributes(columns) | {
        "__doc__": model.get("description") or f"The dbt model {model_name}.",
        "__module__": __name__,
        "__phlo_unmapped_tests__": tuple(unmapped),
        "__phlo_guessed_columns__": tuple(c.name for c in columns if c.is_guessed),
    }
    return type(class_name or _pascal_case(model_name), (PhloSchema,), attributes)


def _find_model(file: Path, name: str) -> Mapping[str, Any]:
    models = {m["name"]: m for m in _read_models(file)}
    for model in list(models.values()):
        for version in _as_list(model.get("versions"), f"versions of {file}, {model['name']}"):
            for written in (f"{model['name']}_v{version['v']}", f"{model['name']}.v{version['v']}"):
                models.setdefault(written, {**model, "_version": version["v"]})
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
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigurationError(f"The file {file} does not exist.", hint=hint) from exc
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as exc:
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
    """Return the column's own name, or another where Pandera or Python would not take it."""
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


_MALFORMED_HINT = "Write it as dbt reads it: `columns: [{name: id, data_tests: [not_null]}]`."


def _tests(entry: Mapping[str, Any], where: str) -> list[_Test]:
    written = [_as_list(entry.get(key), f"{key} of {where}") for key in ("data_tests", "tests")]
    tests = [test for several in written for test in several]
    for test in tests:
        if not isinstance(test, str) and not (isinstance(test, dict) and test):
            raise ConfigurationError(
                f"A test of {where} is neither a name nor a mapping.",
                got=repr(test),
                expected="a name, or a mapping of a name to its arguments",
                hint=_MALFORMED_HINT,
            )
    return [_Test.read(test) for test in tests]


def _as_list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ConfigurationError(
            f"{where} is no list.", got=repr(value), expected="a list", hint=_MALFORMED_HINT
        )
    return value


def _column_entries(model: Mapping[str, Any], file: Path) -> list[dict[str, Any]]:
    """Return the columns of a model, or of its latest version; one entry for each name."""
    where = f"{file}, {model['name']}"
    entries: dict[str, dict[str, Any]] = {}
    for entry in _version_columns(model, where):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ConfigurationError(
                f"A column of {where} has no name.",
                got=repr(entry),
                expected="a mapping with `name:`, a text",
                hint=_MALFORMED_HINT,
            )
        before = entries.get(entry["name"], {})
        tests = [
            test
            for one in (before, entry)
            for key in ("data_tests", "tests")
            for test in _as_list(one.get(key), f"{key} of {where}, {entry['name']}")
        ]
        entries[entry["name"]] = {**before, **entry, "data_tests": tests, "tests": []}
    return list(entries.values())


def _version_columns(model: Mapping[str, Any], where: str) -> list[Any]:
    columns = _as_list(model.get("columns"), f"columns of {where}")
    versions = _as_list(model.get("versions"), f"versions of {where}")
    wanted = model.get("_version") or model.get("latest_version")
    version = next((v for v in versions if str(v.get("v")) == str(wanted)), {})
    if "columns" not in version:
        return columns
    chosen: list[Any] = []
    for entry in _as_list(version["columns"], f"columns of {where}, version {wanted}"):
        if isinstance(entry, dict) and "include" in entry:
            left_out, included = entry.get("exclude") or [], entry["include"]
            chosen += [
                c
                for c in columns
                if c["name"] not in left_out and (included in ("all", "*") or c["name"] in included)
            ]
        else:
            chosen.append(entry)
    return chosen


@dataclass(frozen=True)
class _Column:
    """A column as the schema will have it."""

    name: str
    annotation: Any
    constraints: Mapping[str, Any]
    unmapped: tuple[str, ...]
    is_guessed: bool

    @classmethod
    def read(cls, entry: Mapping[str, Any], model: str) -> _Column:
        name = entry["name"]
        tests = [*_tests(entry, f"{model}.{name}"), *_constraint_tests(entry)]
        hard = [test for test in tests if not test.softening]
        kind = _column_type(entry, hard, f"{model}.{name}")
        names = {test.name for test in hard}
        nullable = "not_null" not in names
        constraints: dict[str, Any] = {"nullable": nullable, "unique": "unique" in names}
        unmapped = [test.label for test in tests if test.softening]
        for test in hard:
            mapped = _constraint(test, kind)
            constraints = _both(constraints, mapped or {})
            unmapped += [test.label] if mapped is None else []
        if entry.get("description"):
            constraints["description"] = entry["description"]
        annotation = nullable_type(kind) if nullable else kind
        labels = tuple(f"{name}: {text}" for text in unmapped)
        is_guessed = (
            not entry.get("data_type")
            and kind is infer_type(name)
            and not any(_tells_type(test) for test in hard)
        )
        return cls(name, annotation, constraints, labels, is_guessed)


def _tells_type(test: _Test) -> bool:
    """Return whether a test's values say what type the column has."""
    return bool(test.name == "accepted_values" and _accepted_values(test)) or test.name in _RANGES


def _constraint_tests(entry: Mapping[str, Any]) -> list[_Test]:
    """Return the constraints of a contract, as the tests that say the same."""
    tests: list[_Test] = []
    for constraint in _as_list(entry.get("constraints"), f"constraints of {entry['name']}"):
        name = constraint.get("type") if isinstance(constraint, dict) else str(constraint)
        names = ["not_null", "unique"] if name == "primary_key" else [str(name)]
        tests += [_Test(one) for one in names]
    return tests


def _both(held: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return constraints that hold two tests: the stricter bound, the values that both accept."""
    joined = dict(held)
    for name, value in new.items():
        if name not in joined:
            joined[name] = value
        elif name == "isin":
            joined[name] = [v for v in joined[name] if v in value]
        else:
            joined[name] = (max if name in ("ge", "gt") else min)(joined[name], value)
    return joined


def _column_type(entry: Mapping[str, Any], tests: list[_Test], where: str) -> Any:
    if entry.get("data_type"):
        return type_of_sql(str(entry["data_type"]), where=where)
    accepted = [v for t in tests if t.name == "accepted_values" for v in _accepted_values(t)]
    ranges = [t.arguments for t in tests if t.name in _RANGES]
    bounds = [a.get(key) for a in ranges for key in ("min_value", "max_value")]
    return infer_type(entry["name"], accepted=accepted, bounds=[b for b in bounds if b is not None])


def _accepted_values(test: _Test) -> list[Any]:
    values = test.arguments.get("values") or []
    if not isinstance(values, list):
        return []  # by Jinja: nobody knows them here
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
    """Return what a hard test asks of a column; ``None`` where a schema cannot say it."""
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
    """Return a bound as a value; ``None`` for SQL expressions and for bounds on text."""
    if kind in (str, bytes, bool):
        return None
    if isinstance(value, str):
        value = _number(value.strip("'")) if kind in _NUMBERS else value.strip("'")
    if kind is int and isinstance(value, float) and math.isfinite(value):
        return value
    return _as_type(value, kind)


def _as_type(value: Any, kind: Any) -> Any:
    """Return a value of YAML in the column's type; ``None`` where it has none there."""
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
