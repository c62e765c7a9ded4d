"""Load what a function returned: from extraction to a published snapshot.

extract -> conform -> judge -> deduplicate -> stage -> audit -> publish -> account
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from phlo.config import get_settings
from phlo.contract.types import TIMESTAMP
from phlo.errors import (
    AuditError,
    ConfigurationError,
    ContractError,
    MovedCursorError,
    MovedHeadError,
    ReplayError,
    is_exit_or_panic,
)
from phlo.folders import LOCKS
from phlo.interrupts import uninterrupted
from phlo.locks import locked
from phlo.names import (
    INGESTED_AT_COLUMN,
    LOAD_ID_COLUMN,
    PARTITION_DATE_COLUMN,
    ROW_ID_COLUMN,
    RUN_ID_COLUMN,
)
from phlo.redaction import remember_secrets
from phlo.retry import retry_on_moved_head
from phlo.sql import Identifier, identifiers, sql
from phlo.values import LoadAccount, Merge, Published
from phlo.words import counted

from phlo_dlt.attempt import Prepared, QuarantinedRows
from phlo_dlt.clock import clock_warning, latest_extraction
from phlo_dlt.dlt_private import configured_secrets
from phlo_dlt.extract import Extraction, extract
from phlo_dlt.kept.quarantine import (
    publish_quarantine,
    select_broken,
    select_keys,
    stage_quarantine,
)
from phlo_dlt.kept.replay import write_manifest
from phlo_dlt.kept.tombstones import Tombstones, read_tombstones, stage_tombstones
from phlo_dlt.notes import extraction_notes, extraction_warnings
from phlo_dlt.rows.conformer import Conformer
from phlo_dlt.rows.deduplicate import deduplicate
from phlo_dlt.rows.judge import exclude, judge, judge_key_uniqueness, verdict
from phlo_dlt.rows.samples import cures, describe_row
from phlo_dlt.rows.workspace import ROW_NUMBER, Workspace
from phlo_dlt.source_errors import raise_source_error
from phlo_dlt.workplace import open_workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from phlo.audit import Audit
    from phlo.names import TableName
    from phlo.protocols import Staged
    from phlo.values import How

    from phlo_dlt.attempt import Attempt, LoadReport, Verdict
    from phlo_dlt.spec import IngestionSpec
    from phlo_dlt.workplace import Workplace

logger = logging.getLogger(__name__)

STATE_PROPERTY = "phlo.dlt-state"


def run_load(attempt: Attempt, call: Callable[[], Any], report: LoadReport) -> bool:
    """Run one attempt of a load.

    Args:
        attempt: What is loaded, and where.
        call: Calls the ingestion function.
        report: Filled on the way, whether the load succeeds or not.

    Returns:
        ``False`` when there is nothing to load: the function returned ``None``, or its source
        found nothing.

    Raises:
        ContractError: Rows break the contract, and ``invalid_rows`` is ``fail``.
        AuditError: A blocking check did not pass on the staged state.
        LoadTimeoutError: The attempt took longer than ``max_runtime_seconds``.
        SourceError: The source failed, and may not fail again.
        BrokenSourceError: The source failed, and would fail again.
        MovedCursorError: Another first load of the table published its cursor meanwhile.
        ReplayError: Kept rows would set the source's cursor back.
    """
    with _cursor_held(attempt):
        return _run_load(attempt, call, report)


@contextmanager
def _cursor_held(attempt: Attempt) -> Iterator[None]:
    """Hold the lock of the table's cursor, if it has one: such loads run one at a time."""
    if _published_state(attempt) is None:
        yield
        return
    with locked(LOCKS.path(get_settings().state_dir) / f"{attempt.spec.asset_name}.cursor"):
        yield


def _run_load(attempt: Attempt, call: Callable[[], Any], report: LoadReport) -> bool:
    landed = _find_landed(attempt)
    if landed is not None:
        report.published, report.rows = landed, landed.account
        return True
    prepared = attempt.deadline.run(lambda: _prepare(attempt, call, report))
    if prepared is None:
        return False
    if prepared.rows is None:
        publish_quarantine(attempt, prepared.quarantine)
        raise _contract_error(attempt, report)
    retry_on_moved_head(
        lambda: publish_load(attempt, prepared, report), attempt.settings.publish_attempts
    )
    return True


def _find_landed(attempt: Attempt) -> Published | None:
    """Find what an earlier attempt of this run published.

    An attempt whose commit stayed without an answer (``UnknownCommitError``) is tried again, though
    its rows may be in the table.
    """
    store, table = attempt.lake.store, attempt.spec.table
    if attempt.number == 0 or not store.exists(table):
        return None
    for snapshot in store.history(table):
        account = LoadAccount.of_summary(snapshot.summary)
        if account is not None and _is_of_run(attempt, snapshot.summary):
            logger.info("Attempt %s of this run had landed.", snapshot.summary["phlo.attempt"])
            row_count = store.load(table).row_count
            return Published(table, snapshot.snapshot_id, account, row_count)
    return None


def _is_of_run(attempt: Attempt, summary: Mapping[str, str]) -> bool:
    expected = {
        "phlo.run-id": attempt.run_id,
        "phlo.asset": attempt.spec.asset_name,
        "phlo.partition": attempt.partition.key if attempt.partition else "",
    }
    return expected.items() <= summary.items()


def _prepare(attempt: Attempt, call: Callable[[], Any], report: LoadReport) -> Prepared | None:
    with report.timed("extract"):
        returned = _call(attempt, call)
        if returned is None:
            return None
        extraction, seed = _extract(attempt, returned)
    report.rows = LoadAccount(extracted=extraction.row_count)
    report.byte_count = sum(file.stat().st_size for file in extraction.files)
    report.dropped = extraction.dropped
    report.fields = extraction.fields
    report.warnings += extraction_warnings(extraction, is_past=_is_past(attempt))
    report.notes += extraction_notes(extraction)
    if extraction.nothing_found is not None:
        return None
    work = _workspace(attempt, extraction)
    try:
        with report.timed("judge"):
            _judge(attempt, work, extraction, report)
        with report.timed("write"):
            prepared = _write(attempt, work, extraction, report)
            return replace(prepared, seed=seed)
    finally:
        work.close()


def _call(attempt: Attempt, call: Callable[[], Any]) -> Any:
    """Call the ingestion function."""
    remember_secrets(configured_secrets())
    try:
        return call()
    except BaseException as exc:
        if not isinstance(exc, Exception) and not is_exit_or_panic(exc):
            raise
        raise_source_error(exc, attempt.spec.table.name)


def _extract(attempt: Attempt, returned: Any) -> tuple[Extraction, str | None]:
    """Extract what a function returned; returns dlt's state that it went on from as well."""
    spec, kept = attempt.spec, attempt.kept
    # What replaces the whole table is read from where the cursor begins.
    seed = None if spec.merge_strategy == "replace" else _published_state(attempt)
    if kept is not None and kept.state is not None and kept.seed != seed:
        raise ReplayError(
            f"Loads of {spec.table} moved its source's cursor since run {kept.run_id} extracted "
            "these rows; loaded now they would set it back.",
            hint="Run it without --from-staged: the source is asked from where the cursor is.",
        )
    extraction = extract(
        returned,
        name=spec.table.name,
        contract=spec.contract,
        folder=attempt.folder,
        state=seed if kept is None else None,
    )
    if kept is not None:
        dropped = {**kept.dropped, **extraction.dropped}
        extraction = replace(extraction, state=kept.state, dropped=dropped)
    if kept is None or kept.remaining is None:
        _keep(attempt, extraction, seed)
    if extraction.state is not None:
        _check_cursor_fits(attempt)
    if spec.merge_strategy == "replace":
        extraction = replace(extraction, state=None)
    return extraction, seed


def _check_cursor_fits(attempt: Attempt) -> None:
    """Raise where a load replaces its partition, whose rows a cursor never hands over again.

    Raises:
        ConfigurationError: It does.
    """
    spec = attempt.spec
    is_append = spec.merge_strategy == "append" and spec.on_rerun(has_cursor=True) == "append"
    if attempt.partition is None or spec.merge_strategy == "merge" or is_append:
        return
    raise ConfigurationError(
        f"The source of {spec.table} keeps a cursor, so it hands over each row once; "
        "a load that replaces its partition would take those rows away for good.",
        got=f"merge_strategy={spec.merge_strategy!r}"
        + (', "on_rerun": "replace"' if spec.merge_strategy == "append" else ""),
        expected="a merge, or an append that leaves what its partition wrote before",
        hint='Set merge_strategy="append" without on_rerun, or bound the cursor to the partition '
        "(initial_value and end_value), so that it delivers all of it each time.",
    )


def _is_past(attempt: Attempt) -> bool:
    """Return whether the partition had ended when the extraction began."""
    return attempt.partition is not None and attempt.partition.end <= attempt.began_at.date()


def _keep(attempt: Attempt, extraction: Extraction, seed: str | None) -> None:
    write_manifest(
        attempt.folder,
        extraction,
        attempt.spec.contract,
        run_id=attempt.run_id,
        partition=attempt.partition,
        began_at=attempt.began_at,
        seed=seed,
    )


def _published_state(attempt: Attempt) -> str | None:
    store, table = attempt.lake.store, attempt.spec.table
    if not store.exists(table):
        return None
    return store.load(table).properties.get(STATE_PROPERTY) or None


def _state_properties(attempt: Attempt, state: str | None) -> dict[str, str]:
    """Return the table properties that keep dlt's state; a replaced table keeps none."""
    if attempt.spec.merge_strategy == "replace":
        return {} if _published_state(attempt) is None else {STATE_PROPERTY: ""}
    return {} if state is None else {STATE_PROPERTY: state}


def _comment(spec: IngestionSpec) -> dict[str, str]:
    """Return the table property in which engines keep what a table holds."""
    text = spec.contract.description or spec.description
    return {"comment": text} if text else {}


def _workspace(attempt: Attempt, extraction: Extraction) -> Workspace:
    files = list(extraction.files)
    if not files:
        empty = attempt.folder / "empty.parquet"
        pq.write_table(Conformer(attempt.spec.contract).rows([]), empty)
        files = [empty]
    return Workspace(
        files,
        attempt.spec.contract,
        folder=attempt.folder,
        memory_limit_mb=attempt.settings.memory_limit_mb,
    )


def _judge(attempt: Attempt, work: Workspace, extraction: Extraction, report: LoadReport) -> None:
    spec = attempt.spec
    judge(work, spec, extraction.delivered)
    exclude(work, spec)
    deduplicated = deduplicate(work, spec)
    judge_key_uniqueness(work, spec)
    if spec.invalid_rows != "keep":
        exclude(work, spec)
    report.verdict = verdict(work, spec, extraction.origins)
    report.rows = report.rows.plus(deduplicated=deduplicated, quarantined=report.verdict.excluded)


def _write(
    attempt: Attempt, work: Workspace, extraction: Extraction, report: LoadReport
) -> Prepared:
    assert report.verdict is not None
    broken = None
    if report.verdict.row_count:
        broken = _dataset(work, attempt, "quarantine", select_broken(attempt, work))
    keys = None
    has_cursor = extraction.state is not None
    if has_cursor or attempt.spec.on_rerun(has_cursor=False) == "append":
        keys = _dataset(work, attempt, "keys", select_keys(attempt, work))
    quarantined = QuarantinedRows(broken, keys)
    if broken is not None and attempt.spec.invalid_rows == "fail":
        return Prepared(None, quarantined, None)
    rows = _dataset(work, attempt, "load", _select_rows(attempt, work, extraction.load_id))
    return Prepared(rows, quarantined, extraction.state)


def _contract_error(attempt: Attempt, report: LoadReport) -> ContractError:
    spec = attempt.spec
    assert report.verdict is not None
    cure = cures(report.verdict.sample, spec, report.dropped)
    cure = f"{cure} " if cure else ""
    return ContractError(
        f"{describe(report.verdict, spec)} Nothing was loaded.",
        hint=f"{cure}Is the source wrong? Correct it, and load again: `{_again(attempt)}`. "
        f"Is the schema? Correct that; `{_replay(attempt)}` then loads the same rows. "
        f"`phlo quarantine show {spec.table}` lists the broken ones; "
        'invalid_rows="quarantine" would load the valid ones.',
        rules=report.verdict.by_rule,
        sample=report.verdict.sample,
    )


def _again(attempt: Attempt) -> str:
    """Return the command that asks the source anew, and makes what stands on the table."""
    partition = f" --partition {attempt.partition.key}" if attempt.partition else ""
    return f"phlo materialize {attempt.spec.table}+{partition}"


def _replay(attempt: Attempt) -> str:
    """Return the command that loads what this attempt extracted, and makes what stands on it."""
    return f"phlo materialize {attempt.spec.table}+ --from-staged {attempt.run_id[:8]}"


def describe(verdict: Verdict, spec: IngestionSpec) -> str:
    """Describe what is wrong: counts by rule, and a few rows."""
    rules = "; ".join(
        f"{rule} ({counted(count, 'row')})" for rule, count in list(verdict.by_rule.items())[:10]
    )
    rows = "; ".join(describe_row(row) for row in verdict.sample)
    verb = "breaks" if verdict.row_count == 1 else "break"
    return (
        f"{counted(verdict.row_count, 'row')} of {spec.table} {verb} {spec.contract.name} "
        f"({spec.contract.defined_at}): {rules}. First of them: {rows}."
    )


def _select_rows(attempt: Attempt, work: Workspace, load_id: str) -> str:
    spec = attempt.spec
    metadata = [
        sql("{v} AS {n}", v=load_id, n=Identifier(LOAD_ID_COLUMN)),
        sql(
            "printf('%016x', hash({v}, {r})) AS {n}",
            v=load_id,
            r=Identifier(ROW_NUMBER),
            n=Identifier(ROW_ID_COLUMN),
        ),
    ]
    if spec.add_metadata_columns:
        partition = attempt.partition.date if attempt.partition else None
        metadata += [
            sql("{v} AS {n}", v=attempt.began_at, n=Identifier(INGESTED_AT_COLUMN)),
            sql("CAST({v} AS DATE) AS {n}", v=partition, n=Identifier(PARTITION_DATE_COLUMN)),
            sql("{v} AS {n}", v=attempt.run_id, n=Identifier(RUN_ID_COLUMN)),
        ]
    return sql(
        "SELECT {columns}, {metadata} FROM {survivors}",
        columns=identifiers(spec.contract.column_names),
        metadata=metadata,
        survivors=work.survivors,
    )


def _dataset(work: Workspace, attempt: Attempt, name: str, select: str) -> ds.Dataset:
    """Write a query's rows to Parquet, to be scanned as often as needed."""
    path = attempt.folder / f"{name}.parquet"
    work.write(select, path)
    return ds.dataset(path, format="parquet")


def table_schema(spec: IngestionSpec) -> pa.Schema:
    """Build the table's schema: the contract's columns, then the metadata columns."""
    metadata = [pa.field(LOAD_ID_COLUMN, pa.string()), pa.field(ROW_ID_COLUMN, pa.string())]
    if spec.add_metadata_columns:
        metadata += [
            pa.field(INGESTED_AT_COLUMN, TIMESTAMP),
            pa.field(PARTITION_DATE_COLUMN, pa.date32()),
            pa.field(RUN_ID_COLUMN, pa.string()),
        ]
    return pa.schema([*spec.contract.arrow_schema, *metadata])


def _refuse_moved_cursor(attempt: Attempt, prepared: Prepared) -> None:
    if prepared.state is not None and _published_state(attempt) != prepared.seed:
        raise MovedCursorError(
            f"Another load of {attempt.spec.table} moved its source's cursor meanwhile; "
            "this one published nothing and starts again from there."
        )


def publish_load(attempt: Attempt, prepared: Prepared, report: LoadReport) -> None:
    """Stage rows that are fit to be loaded, audit the stage, and publish it.

    Raises:
        AuditError: A blocking check did not pass on the staged state.
        MovedHeadError: The table moved meanwhile; nothing was published.
        MovedCursorError: Another load of the table published its cursor meanwhile.
    """
    assert prepared.rows is not None
    how = _how(attempt, prepared)
    with open_workplace(attempt, prepared.rows, how, table_schema(attempt.spec)) as place:
        _publish(place, prepared, report)


def _publish(place: Workplace, prepared: Prepared, report: LoadReport) -> None:
    attempt = place.attempt
    with report.timed("stage"):
        tombstones = _tombstones(attempt, prepared)
        staged = attempt.deadline.run(lambda: _stage(place, prepared, report.rows, tombstones))
    if staged.account.deduplicated > report.rows.deduplicated:
        _warn_of_clocks(attempt, report)
    together = [staged]
    try:
        # Not before the stage: a load that lands in between would be the stage's own base.
        _refuse_moved_cursor(place.main, prepared)
        with report.timed("audit"):
            audited = attempt.deadline.run(lambda: place.audit(staged))
        report.checks = list(audited.results)
        _refuse_failed_audit(place, staged, audited, report)
        reads = dict(audited.reads)
        if tombstones is not None:
            together += _with_tombstones(attempt, staged, tombstones, reads)
        together += _with_quarantine(place, prepared)
    except BaseException:
        place.discard(together[report.kept_branch is not None :])
        raise
    can_rebase = prepared.state is None and len(together) == 1 and audited.holds_on_any_head
    with report.timed("publish"), uninterrupted():
        report.published = place.publish(together, reads, can_rebase=can_rebase)
        report.rows = report.published.account


def _tombstones(attempt: Attempt, prepared: Prepared) -> Tombstones | None:
    """Read the keys that other loads deleted; ``None`` where the table remembers none."""
    spec = attempt.spec
    if not spec.keeps_tombstones:
        return None
    has_rest = attempt.kept is not None and attempt.kept.remaining is not None
    is_new_only = spec.on_rerun(has_cursor=prepared.state is not None) == "append"
    return read_tombstones(attempt, is_whole=not (has_rest or is_new_only))


def _with_tombstones(
    attempt: Attempt,
    staged: Staged,
    before: Tombstones,
    reads: dict[TableName, int | None],
) -> list[Staged]:
    """Stage what a load changes about deleted keys; where nothing, note the snapshot it read."""
    change = stage_tombstones(attempt, staged, before)
    if change.has_changes or before.is_new:
        try:
            _refuse_moved_tombstones(attempt, before)
        except BaseException:
            attempt.lake.store.discard(change)
            raise
        return [change]
    reads[attempt.spec.tombstones] = before.snapshot_id
    return []


def _refuse_moved_tombstones(attempt: Attempt, before: Tombstones) -> None:
    """Check, once the change is planned, that it was planned on the deleted keys that were read.

    Raises:
        MovedHeadError: A load that landed in between became the base of this one.
    """
    store, table = attempt.lake.store, attempt.spec.tombstones
    snapshot_id = store.load(table).snapshot_id if store.exists(table) else None
    if snapshot_id != before.snapshot_id:
        raise MovedHeadError(f"Another load of {attempt.spec.table} deleted keys meanwhile.")


def _warn_of_clocks(attempt: Attempt, report: LoadReport) -> None:
    """Note where rows were passed over for an extraction that lies in the future."""
    table = attempt.spec.table
    latest = latest_extraction(attempt.lake, [table])
    warning = clock_warning(table, latest, datetime.now(UTC))
    if warning is not None and latest != attempt.latest:
        report.warnings.append(warning)


def _with_quarantine(place: Workplace, prepared: Prepared) -> list[Staged]:
    """Publish the invalid rows; those of a requeue leave quarantine in the load's own commit."""
    attempt = place.attempt
    kept = attempt.kept
    if kept is None or kept.remaining is None:
        publish_quarantine(place.main, prepared.quarantine)
        return []
    try:
        return [stage_quarantine(attempt, prepared.quarantine.rows, kept.remaining)]
    except MovedHeadError as exc:
        raise MovedCursorError(
            f"Another load of {attempt.spec.table} changed its quarantine meanwhile; nothing was "
            "published, and the rows are read anew."
        ) from exc


def _how(attempt: Attempt, prepared: Prepared) -> How:
    return attempt.spec.how(attempt.partition, has_cursor=prepared.state is not None)


def _stage(
    place: Workplace, prepared: Prepared, rows: LoadAccount, tombstones: Tombstones | None
) -> Staged:
    attempt, spec = place.attempt, place.attempt.spec
    how = _how(attempt, prepared)
    if isinstance(how, Merge) and tombstones is not None:
        how = replace(how, deleted=tombstones.standing)
    assert prepared.rows is not None
    partition = attempt.partition.key if attempt.partition else ""
    default_spec = ((PARTITION_DATE_COLUMN, "identity"),) if _is_partitioned(attempt) else ()
    return place.stage(
        prepared.rows,
        how,
        account=rows,
        schema=table_schema(spec),
        partition_by=default_spec if spec.partition_spec is None else spec.partition_spec,
        properties=_state_properties(attempt, prepared.state) | _comment(spec),
        summary={
            "phlo.run-id": attempt.run_id,
            "phlo.attempt": str(attempt.number),
            "phlo.partition": partition,
            "phlo.asset": spec.asset_name,
            **attempt.extraction_entry,
        },
        on_schema_change=spec.on_schema_change,
    )


def _is_partitioned(attempt: Attempt) -> bool:
    return attempt.spec.add_metadata_columns and attempt.partition is not None


def _refuse_failed_audit(
    place: Workplace, staged: Staged, audited: Audit, report: LoadReport
) -> None:
    if not audited.blocking:
        return
    attempt = place.attempt
    with uninterrupted():  # a branch that landed must be known to have: its files stay
        if place.keep(staged):
            report.kept_branch = attempt.audit_branch
    table, branch = attempt.spec.table, report.kept_branch
    where = f" It is kept as branch {branch!r} of the table." if branch else ""
    look = f' `phlo query --at {table}={branch} "SELECT * FROM {table}"` shows it.'
    reasons = "; ".join(
        f"{r.check}: {(r.message or r.status.value).rstrip('.')}" for r in audited.blocking
    )
    raise AuditError(
        f"Blocking checks did not pass on the load of {table}: {reasons}. "
        f"Nothing was published.{where}",
        hint="Are the rows wrong? Correct them at their source, and load again: "
        f"`{_again(attempt)}`. "
        f"Is the check? Correct that; `{_replay(attempt)}` then loads the same rows."
        f"{look if branch else ''}",
        checks=tuple(r.check for r in audited.blocking),
    )
