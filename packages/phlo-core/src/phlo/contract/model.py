"""A Pandera model as a contract: Arrow types, SQL rules, and what only Pandera can judge.

Used for the rows of a load (phlo-dlt), for the columns and rows of a table (phlo-quality's
``SchemaCheck``) and for the table's schema (phlo-iceberg's ``pandera_to_iceberg``).
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from phlo.contract.pandera_private import check_functions
from phlo.contract.rules import FrameRule, Rule, compile_rules
from phlo.contract.types import ContractColumn, arrow_type
from phlo.errors import ConfigurationError, InvalidNameError, UnsupportedTypeError
from phlo.schemas import PhloSchema, is_underscored_field
from phlo.specs import relative_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pandera.api.pandas.container import DataFrameSchema
    from pandera.pandas import DataFrameModel

__all__ = ["Contract", "ContractColumn", "FrameRule", "Rule"]


@dataclass(frozen=True, eq=False)
class Contract:
    """What a Pandera model promises, in the forms phlo works with.

    Attributes:
        name: The model's class name.
        model: The model.
        columns: In the order of the model.
        unique: Sets of columns whose values together are unique; nulls are never duplicates.
        strict: Whether unknown columns are refused.
        rules: What SQL can judge, nulls in required columns among them; not uniqueness.
        frame_rules: What only Pandera can judge.
        warnings: Rules whose breach is told and nothing more (``raise_warning=True``).
    """

    name: str
    model: type[DataFrameModel]
    columns: tuple[ContractColumn, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    strict: bool = False
    rules: tuple[Rule, ...] = ()
    frame_rules: tuple[FrameRule, ...] = ()
    warnings: tuple[Rule | FrameRule, ...] = ()

    @classmethod
    def of(cls, model: type[DataFrameModel]) -> Contract:
        """Return the contract of a model; made once per model.

        Args:
            model: A subclass of Pandera's ``DataFrameModel``, of ``pandera`` or
                ``pandera.pandas``, or of ``PhloSchema``.

        Raises:
            UnsupportedTypeError: A field's type has no counterpart; names class and field.
            InvalidNameError: A field of a plain ``DataFrameModel`` begins with an underscore,
                which Pandera would ignore.
        """
        return _contract_of(model)

    @property
    def arrow_schema(self) -> pa.Schema:
        """The user's columns; not nullable where Pandera says so."""
        return pa.schema([column.field for column in self.columns])

    @property
    def description(self) -> str | None:
        """The model's own docstring; one that it inherits is another model's."""
        text = vars(self.model).get("__doc__")
        return inspect.cleandoc(text) if text else None

    @property
    def defined_at(self) -> str:
        """File and line of the model; its module, where there is no file."""
        try:
            file = inspect.getsourcefile(self.model)
            line = inspect.getsourcelines(self.model)[1]
        except (OSError, TypeError):
            return self.model.__module__
        return f"{relative_path(file)}:{line}" if file else self.model.__module__

    def column(self, name: str) -> ContractColumn | None:
        """Return the column of a name, or ``None``."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(c.name for c in self.columns)


@cache
def _contract_of(model: type[DataFrameModel]) -> Contract:
    _refuse_ignored_fields(model)
    schema = cast("DataFrameSchema", model.to_schema())
    _refuse_unsupported(model, schema)
    columns = tuple(_columns(model, schema))
    rules, frame_rules, warnings = compile_rules(
        schema, columns, _value_patterns(model), _column_readers(model)
    )
    return Contract(
        name=model.__name__,
        model=model,
        columns=columns,
        unique=_unique_sets(schema, columns),
        strict=schema.strict is True,
        rules=rules,
        frame_rules=frame_rules,
        warnings=warnings,
    )


def _refuse_ignored_fields(model: type[DataFrameModel]) -> None:
    for base in model.__mro__:
        annotations = {} if base is PhloSchema else vars(base).get("__annotations__", {})
        for name, annotation in annotations.items():
            if base.__module__.startswith("pandera.") or not is_underscored_field(name, annotation):
                continue
            raise InvalidNameError(
                f"Pandera ignores the field {name!r} of {model.__name__}: its name begins with "
                "an underscore.",
                hint=f'Write `{name.lstrip("_")}: ... = Field(alias="{name}")`, or derive '
                f"{model.__name__} from phlo_quality.schemas.PhloSchema.",
                column=name,
                schema=model.__name__,
            )


def _refuse_unsupported(model: type[DataFrameModel], schema: DataFrameSchema) -> None:
    parsed = [name for name, column in schema.columns.items() if column.parsers]
    if schema.parsers or parsed:
        raise ConfigurationError(
            f"{model.__name__} has parsers ({', '.join(map(str, parsed)) or 'dataframe_parser'}); "
            "a contract judges rows and does not change them.",
            hint="Change the values in the ingestion function, or in a dbt model.",
            schema=model.__name__,
        )
    if schema.index is not None:
        raise UnsupportedTypeError(
            f"{model.__name__} declares an index; tables have columns alone.",
            hint="Declare it as a column: Series[...] instead of Index[...].",
            schema=model.__name__,
        )


def _columns(model: type[DataFrameModel], schema: DataFrameSchema) -> Iterator[ContractColumn]:
    for name, (annotation, info) in model.__fields__.items():
        column = schema.columns[name]
        if column.regex is True:
            raise UnsupportedTypeError(
                f"The field {info.original_name!r} of {model.__name__} stands for several columns "
                "(regex=True); a table's columns are named one by one.",
                hint="Declare each column.",
                schema=model.__name__,
                column=name,
            )
        found = arrow_type(column.dtype, annotation.arg, model.__name__, str(name))
        yield ContractColumn(
            name=str(name),
            type=found.type,
            nullable=column.nullable,
            required=column.required,
            unique=column.unique,
            default=_plain_default(column.default),
            description=column.description,
            renamed_from=(column.metadata or {}).get("renamed_from"),
            coerce=bool(column.coerce or schema.coerce),
            is_nested=found.is_nested,
            time_zone=found.time_zone,
            declared=found.declared,
            categories=found.categories,
            fit=found.fit,
            is_sensitive=bool((column.metadata or {}).get("sensitive")),
        )


def _plain_default(value: Any) -> Any:
    """Return Pandera's default without numpy's scalars; its ``None`` and NaN mean no default."""
    value = value.item() if hasattr(value, "item") else value
    is_missing = value is None or (isinstance(value, float | Decimal) and value != value)
    return None if is_missing else value


def _unique_sets(
    schema: DataFrameSchema, columns: tuple[ContractColumn, ...]
) -> tuple[tuple[str, ...], ...]:
    alone = [(c.name,) for c in columns if c.unique]
    declared = schema.unique or []
    together = [declared] if declared and isinstance(declared[0], str) else list(declared)
    return tuple(dict.fromkeys([*alone, *(tuple(names) for names in together)]))


def _column_readers(model: type[DataFrameModel]) -> dict[str, Callable[..., Any]]:
    """Return checks of one column that read others as attributes of ``cls``."""
    names = set(model.__fields__)
    functions = check_functions(model)
    return {n: f for n, f in functions.items() if names & set(f.__code__.co_names)}


def _value_patterns(model: type[DataFrameModel]) -> dict[str, str]:
    """Return patterns given as ``regex="..."``, where Pandera takes a flag about names."""
    flags: dict[str, Any] = {str(name): info.regex for name, (_, info) in model.__fields__.items()}
    patterns = {name: flag for name, flag in flags.items() if isinstance(flag, str)}
    for name, pattern in patterns.items():
        warnings.warn(
            f"{model.__name__}.{name}: Pandera's `regex` is a flag about column names; phlo judges "
            f"values by {pattern!r} as a whole. Write str_matches={pattern!r} instead.",
            UserWarning,
            stacklevel=4,
        )
    return patterns
