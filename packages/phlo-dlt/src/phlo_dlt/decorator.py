"""Declare an ingestion: ``@phlo_ingestion`` checks its arguments and attaches a spec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from croniter import CroniterBadDateError, croniter
from phlo.contract import Contract
from phlo.errors import ColumnNotFoundError, InvalidArgumentError, nearest
from phlo.names import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN, TableName, is_metadata_column
from phlo.specs import attach_spec, defined_at
from phlo.values import DeduplicationMethod

import phlo_dlt.rest_api  # noqa: F401 - makes the guide's form of rest_api work
from phlo_dlt.spec import IngestionSpec, InvalidRows, MergeConfig, MergeStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from pandera.pandas import DataFrameModel

F = TypeVar("F", bound="Callable[..., Any]")
_BEYOND_DAGSTER = re.compile(r"(^|[\s,/])r($|[\s,/(])|[\dl]w", re.IGNORECASE)
"""Fields that croniter knows and Dagster does not: ``R``, another number each time, and ``15W``."""
_PARTITIONS = ("daily", "weekly", "monthly")


def phlo_ingestion(
    *,
    table_name: str,
    unique_key: str | Sequence[str],
    validation_schema: type[DataFrameModel],
    group: str,
    cron: str | None = None,
    freshness_hours: tuple[float, float] | None = None,
    merge_strategy: MergeStrategy = "merge",
    merge_config: Mapping[str, Any] | None = None,
    max_retries: int = 3,
    retry_delay_seconds: int = 30,
    max_runtime_seconds: int = 300,
    validate: bool = True,
    strict_validation: bool = True,
    add_metadata_columns: bool = True,
    partitions: Any = "daily",
    namespace: str = "bronze",
    partition_spec: Sequence[tuple[str, str]] | None = None,
    start_date: str | date | None = None,
    invalid_rows: InvalidRows | None = None,
    on_schema_change: Literal["add_columns", "fail"] = "add_columns",
    description: str | None = None,
    pool: str | None = None,
) -> Callable[[F], F]:
    """Load what a function returns into an Iceberg table, judged and audited before it is seen.

    The function stays callable as it was. It may take ``partition_date`` (text, YYYY-MM-DD),
    ``context`` (Dagster's) and resources, and return a dlt source or resource, dicts, a frame,
    Arrow data, or ``None`` for "nothing to do".

    Args:
        table_name: Name of the table in ``namespace``; its asset is ``dlt_<table_name>``.
        unique_key: Column, or columns, that tell rows apart.
        validation_schema: The contract, a Pandera ``DataFrameModel``.
        group: Dagster's asset group.
        cron: When to load the current partition; the first tick of a day also loads the day
            before.
        freshness_hours: Age in hours after which the table is warned about, and is an error.
        merge_strategy: ``merge`` upserts by key, ``append`` inserts, ``replace`` makes the
            partition (the table, for unpartitioned assets) what the load delivers.
        merge_config: ``deduplication_method`` (``last``, ``first``, ``hash``), ``order_by``,
            ``delete_column``, ``key_scope`` (``table``, ``partition``), ``on_rerun``
            (``replace``, ``append``).
        max_retries: How often a failed attempt is tried again, where that can help.
        retry_delay_seconds: Seconds between attempts.
        max_runtime_seconds: Seconds one attempt may take.
        validate: ``False`` skips the contract's checks; casts, required columns and keys hold.
        strict_validation: Whether an invalid row fails the run; see ``invalid_rows``.
        add_metadata_columns: Whether rows carry the ``_phlo_*`` columns.
        partitions: ``daily``, ``weekly``, ``monthly``, ``None``, or a time-window
            ``PartitionsDefinition`` of Dagster with dates as keys, one a day at most.
        namespace: Namespace of the table.
        partition_spec: Pairs of column and Iceberg transform; default: the partition's date.
        start_date: First partition; default: ``PHLO_START_DATE``.
        invalid_rows: ``fail``, ``quarantine`` (load the valid rows) or ``keep`` (load every row
            that fits the table); wins over ``strict_validation``.
        on_schema_change: ``add_columns``, or ``fail`` where any difference is an error.
        description: For people; default: the function's docstring, else the schema's.
        pool: Dagster's pool of the load, which limits how many of its loads run at once.

    Raises:
        InvalidArgumentError: An argument is wrong; names it, its value and what is allowed.
        ColumnNotFoundError: A column is named that the schema does not have.
    """
    keys = (unique_key,) if isinstance(unique_key, str) else tuple(unique_key)
    contract = _contract(validation_schema)
    _check_names(table_name, group, namespace)
    _check_columns("unique_key", keys, contract)
    _refuse(not keys, "unique_key", unique_key, "a column or a list of columns")
    _check_cron(cron)
    _check_freshness(freshness_hours)
    _check_choice("merge_strategy", merge_strategy, get_args(MergeStrategy))
    config = _merge_config(merge_config or {}, contract)
    _check_numbers(
        max_retries=max_retries,
        retry_delay_seconds=retry_delay_seconds,
        max_runtime_seconds=max_runtime_seconds,
    )
    _check_partitions(partitions)
    _check_choice("on_schema_change", on_schema_change, ("add_columns", "fail"))
    if invalid_rows is not None:
        _check_choice("invalid_rows", invalid_rows, get_args(InvalidRows))
    if merge_strategy == "append":
        _check_rerun(config, add_metadata_columns)
    _refuse(pool is not None and not _is_pool(pool), "pool", pool, "letters, digits, _, - and /")
    _check_partition_spec(partition_spec, contract, add_metadata_columns)

    def decorate(function: F) -> F:
        spec = IngestionSpec(
            function=function,
            table=TableName(namespace, table_name),
            unique_key=keys,
            contract=contract,
            group=group,
            cron=cron,
            freshness_hours=freshness_hours,
            merge_strategy=merge_strategy,
            merge_config=config,
            max_retries=max_retries,
            retry_delay_seconds=retry_delay_seconds,
            max_runtime_seconds=max_runtime_seconds,
            validate=validate,
            invalid_rows=invalid_rows or ("fail" if strict_validation else "keep"),
            add_metadata_columns=add_metadata_columns,
            partitions=partitions,
            partition_spec=tuple(partition_spec) if partition_spec is not None else None,
            start_date=_date(start_date),
            on_schema_change=on_schema_change,
            description=description or function.__doc__ or contract.description,
            defined_at=defined_at(function),
            pool=pool,
        )
        return attach_spec(function, spec)

    return decorate


def _refuse(is_wrong: bool, argument: str, value: object, allowed: str) -> None:
    if is_wrong:
        raise InvalidArgumentError(
            f"@phlo_ingestion: {argument} is wrong.",
            got=f"{argument}={value!r}",
            expected=allowed,
            hint=f"Correct {argument} in the decorator.",
            argument=argument,
            value=value,
        )


def _is_pool(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[\w/-]+", name, re.ASCII) is not None


def _check_choice(argument: str, value: object, allowed: Sequence[str]) -> None:
    _refuse(value not in allowed, argument, value, f"one of {list(allowed)}")


def _check_names(table_name: str, group: str, namespace: str) -> None:
    for argument, value in (("table_name", table_name), ("group", group), ("namespace", namespace)):
        is_name = isinstance(value, str) and bool(value) and value.replace("_", "a").isalnum()
        _refuse(not is_name, argument, value, "a name of letters, digits and underscores")


def _contract(schema: Any) -> Contract:
    is_model = isinstance(schema, type) and hasattr(schema, "to_schema")
    _refuse(not is_model, "validation_schema", schema, "a Pandera DataFrameModel (the class)")
    contract = Contract.of(schema)
    _refuse_names_equal_but_for_case(contract)
    reserved = [name for name in contract.column_names if is_metadata_column(name)]
    _refuse(
        bool(reserved),
        "validation_schema",
        reserved,
        "columns that begin otherwise than _dlt_ and _phlo_, which are phlo's own",
    )
    return contract


def _refuse_names_equal_but_for_case(contract: Contract) -> None:
    """Raise for names that differ in case alone: engines take ``Value`` and ``value`` for one."""
    seen: dict[str, str] = {}
    for name in contract.column_names:
        first = seen.setdefault(name.lower(), name)
        _refuse(
            first != name,
            "validation_schema",
            [first, name],
            "columns that differ in more than upper and lower case",
        )


def _check_columns(argument: str, names: Sequence[str], contract: Contract) -> None:
    for name in names:
        if name in contract.column_names:
            continue
        known = list(contract.column_names)
        near = nearest(str(name), known)
        raise ColumnNotFoundError(
            f"@phlo_ingestion: {argument} {name!r} is not a column of {contract.name}.",
            got=repr(name),
            expected=f"one of {known}",
            hint=f'Set {argument}="{near[0]}".' if near else f"Correct {argument}.",
            argument=argument,
            column=name,
            available=known,
        )


def _check_freshness(hours: Any) -> None:
    allowed = "a pair (warn, error) of positive hours, warn below error"
    if hours is None:
        return
    is_pair = isinstance(hours, tuple | list) and len(hours) == 2
    _refuse(not is_pair, "freshness_hours", hours, allowed)
    are_numbers = all(isinstance(h, int | float) and not isinstance(h, bool) for h in hours)
    _refuse(not are_numbers or not 0 < hours[0] < hours[1], "freshness_hours", hours, allowed)


def _merge_config(settings: Mapping[str, Any], contract: Contract) -> MergeConfig:
    allowed = {
        "deduplication_method": get_args(DeduplicationMethod),
        "key_scope": ("table", "partition"),
        "on_rerun": ("replace", "append"),
        "order_by": None,
        "delete_column": None,
    }
    for name, value in settings.items():
        _refuse(
            name not in allowed, "merge_config", dict(settings), f"keys among {sorted(allowed)}"
        )
        choices = allowed[name]
        if choices is not None:
            _check_choice(f"merge_config[{name!r}]", value, choices)
        elif value is not None:
            _check_columns(f"merge_config[{name!r}]", [value], contract)
    return MergeConfig(**settings)


def _check_numbers(**values: Any) -> None:
    for name, value in values.items():
        lowest = 1 if name == "max_runtime_seconds" else 0
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        _refuse(not is_number or value < lowest, name, value, f"a number of at least {lowest}")


def _check_rerun(config: MergeConfig, add_metadata_columns: bool) -> None:
    _refuse(
        not add_metadata_columns and config.on_rerun != "append",
        "add_metadata_columns",
        False,
        'True, or merge_config={"on_rerun": "append"}: without metadata columns phlo cannot tell '
        "what a partition wrote before",
    )


def _check_cron(cron: str | None) -> None:
    is_wrong = cron is not None and not _has_ticks(cron)
    _refuse(is_wrong, "cron", cron, "a cron expression of five fields that has a tick")


def _has_ticks(cron: Any) -> bool:
    """Return whether Dagster can run a schedule by a text.

    >>> _has_ticks("0 6 * * 1-5"), _has_ticks("0 0 31 4 *"), _has_ticks("0 0 6 * * *")
    (True, False, False)
    """
    if not isinstance(cron, str) or not croniter.is_valid(cron) or _BEYOND_DAGSTER.search(cron):
        return False
    try:
        croniter(cron).get_next()
    except CroniterBadDateError:  # a day that no month has
        return False
    return len(croniter.expand(cron)[0]) == 5


def _check_partitions(partitions: Any) -> None:
    is_known = partitions is None or partitions in _PARTITIONS or _has_days(partitions)
    allowed = (
        f"one of {list(_PARTITIONS)}, None or a time-window PartitionsDefinition, one a day at most"
    )
    _refuse(not is_known, "partitions", partitions, allowed)


def _has_days(definition: Any) -> bool:
    """Return whether each partition of a definition begins on a day of its own.

    A table tells its partitions apart by that day: an hour would replace the hour before.
    """
    cron = getattr(definition, "cron_schedule", None)
    if not isinstance(cron, str):
        return False
    minutes, hours, *_ = croniter.expand(cron)[0]
    return all(len(values) == 1 and values != ["*"] for values in (minutes, hours))


def _check_partition_spec(
    pairs: Sequence[tuple[str, str]] | None,
    contract: Contract,
    add_metadata_columns: bool,
) -> None:
    for pair in pairs or ():
        is_pair = isinstance(pair, tuple | list) and len(pair) == 2
        _refuse(not is_pair, "partition_spec", pairs, 'pairs such as ("day", "identity")')
        times = (PARTITION_DATE_COLUMN, INGESTED_AT_COLUMN) if add_metadata_columns else ()
        if pair[0] not in times:
            _check_columns("partition_spec", [pair[0]], contract)


def _date(value: str | date | None) -> date | None:
    if not isinstance(value, str):
        return value
    from datetime import date as day

    try:
        return day.fromisoformat(value)
    except ValueError:
        _refuse(True, "start_date", value, "a date written YYYY-MM-DD")
        raise
