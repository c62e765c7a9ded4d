"""The Dagster step that runs dbt: selection, variables, audit, results."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dagster import AssetExecutionContext, AssetKey, Failure, MaterializeResult
from phlo.audit import Audit, audit, judge_published, notify_checks
from phlo.config import load_settings
from phlo.errors import InvalidPartitionError, PhloError, RetriableError
from phlo.events import LoadEvent
from phlo.lake import open_lake
from phlo.orchestration.checks import to_asset_check_result
from phlo.orchestration.dagster_private import PARTIAL_FAILURE, PARTITION_TAG
from phlo.orchestration.partitions import is_date, partition_range
from phlo.plugins import notify
from phlo.signal_watch import heed_signals

from phlo_dbt.dagster_dbt_private import UNIQUE_ID_KEY, translate_test_result
from phlo_dbt.lineage import LineageBudget
from phlo_dbt.metadata import published_metadata
from phlo_dbt.settings import DbtSettings, vars_option
from phlo_dbt.translator import CustomDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phlo.checks import CheckResult
    from phlo.lake import Lake
    from phlo.project import Project
    from phlo.protocols import CheckSuite, Staged

    from phlo_dbt.manifest import DbtProject
    from phlo_dbt.publishing import DbtOutcome

    Suites = Mapping[str, Sequence[CheckSuite]]


def selector(node: Mapping[str, Any]) -> str:
    """Select one node in dbt's syntax.

    ``fqn:`` alone means a folder too: that of the same name beside the model.

    Example:
        >>> selector({"fqn": ["shop", "a"], "original_file_path": "models/a.sql"})
        'fqn:shop.a,file:a.sql'
    """
    return f"fqn:{'.'.join(node['fqn'])},file:{PurePath(node['original_file_path']).name}"


TRANSLATOR = CustomDbtTranslator()


@dataclass(frozen=True)
class Models:
    """What the step of a dbt project works with.

    Attributes:
        dbt: The project.
        project: The phlo project.
        suites: Blocking suites by the unique id of the model they judge.
        keys: Asset keys by unique id.
    """

    dbt: DbtProject
    project: Project
    suites: Suites
    keys: Mapping[str, AssetKey]


@dataclass
class DbtStep:
    """One execution of the step.

    Attributes:
        context: Dagster's.
        models: What may be run.
        checked: Results of suites so far, by the model's unique id.
    """

    context: AssetExecutionContext
    models: Models
    checked: dict[str, list[CheckResult]] = field(default_factory=dict)

    @cached_property
    def lake(self) -> Lake:
        """The project's tables."""
        return open_lake()

    def run(self) -> Iterator[Any]:
        """Run what is selected of dbt in one process, then the suites selected alone."""
        chosen, outcome = self.chosen(), None
        if chosen:
            from phlo_dbt.publishing import DbtOutcome

            outcome = DbtOutcome()
            yield from self._run_or_cancel(chosen, outcome)
            self._record_audits(outcome)
        self._judge_published(outcome)
        if outcome is not None:
            yield from self._results(outcome)
        yield from self._suite_results()
        if outcome is not None:
            self._raise_failures(outcome)

    def _run_or_cancel(self, chosen: Sequence[str], outcome: DbtOutcome) -> Iterator[Any]:
        """Run dbt; of a run that is canceled say what was published, if anything was."""
        try:
            self._run_dbt(chosen, outcome)
        except Exception:
            raise
        except BaseException:
            heed_signals()
            names = ", ".join(str(one.table) for one in outcome.published.values())
            self.context.log.warning(
                f"Canceled while models were published; now new: {names}."
                if names
                else "Canceled: no model is new."
            )
            yield from self._results(outcome)
            raise

    def _run_dbt(self, chosen: Sequence[str], outcome: DbtOutcome) -> None:
        from phlo_dbt.run import run_dbt

        # Tests that are no checks, on sources and of several models, run where all is run.
        nodes = self.models.dbt.manifest["nodes"]
        running = list(nodes) if self._is_everything(chosen) else chosen
        try:
            variables = self.variables(running)
            run_dbt(
                self.models.dbt.workspace,
                self.models.project,
                self.lake,
                ["build", *self.selection(chosen), *self._options(variables)],
                chosen=running,
                run_name=f"{self.context.run.run_id[:8]}-{self._attempt}",
                run_id=self.context.run.run_id,
                judge=self._audit,
                on_event=lambda event: self.context.log.info(event["info"]["msg"].strip()),
                outcome=outcome,
            )
        except RetriableError:
            raise
        except PhloError as exc:  # would fail again the same way
            raise Failure(description=str(exc), allow_retries=False) from exc

    def _options(self, variables: Mapping[str, str]) -> list[str]:
        settings = load_settings(DbtSettings)
        target = ["--target", settings.target] if settings.target else []
        full_refresh = ["--full-refresh"] if settings.full_refresh else []
        return [*target, *full_refresh, *vars_option({**settings.vars, **variables})]

    @property
    def _attempt(self) -> int:
        return self.context.op_execution_context.retry_number

    def chosen(self) -> list[str]:
        """Return the unique ids of the selected models and tests."""
        models = [uid for uid, key in self.models.keys.items() if key in self._selected_keys]
        return models + [uid for key, uid in self._tests.items() if key in self._selected_checks]

    def selection(self, chosen: Sequence[str]) -> list[str]:
        """Return dbt's options for models and tests; none where all are chosen."""
        nodes = self.models.dbt.manifest["nodes"]
        if self._is_everything(chosen):
            return []
        names = sorted(selector(nodes[uid]) for uid in chosen)
        return ["--indirect-selection", "empty", "--select", *names]

    def _is_everything(self, chosen: Sequence[str]) -> bool:
        return len(chosen) == len(self.models.keys) + len(self._tests)

    @cached_property
    def _tests(self) -> dict[Any, str]:
        """Unique ids of the tests that are checks, by check key."""
        specs = self.context.assets_def.node_check_specs_by_output_name.values()
        ids = {spec.key: (spec.metadata or {}).get(UNIQUE_ID_KEY) for spec in specs}
        return {key: uid for key, uid in ids.items() if uid is not None}

    @cached_property
    def _selected_keys(self) -> set[AssetKey]:
        return set(self.context.op_execution_context.selected_asset_keys)

    @cached_property
    def _selected_checks(self) -> set[Any]:
        return set(self.context.selected_asset_check_keys)

    def variables(self, chosen: Sequence[str]) -> dict[str, str]:
        """Return dbt's variables: the run's partition, or range of them, else today.

        Raises:
            InvalidPartitionError: A chosen model uses a variable that the run gives no day for.
        """
        days = partition_range(self.context.run.tags)
        if days is not None:
            self._refuse_variables(chosen, ("partition_date",), f"a range, {days[0]} to {days[1]}")
            return {"min_date": days[0], "max_date": days[1]}
        today = datetime.now(ZoneInfo(self.models.project.settings.timezone)).date().isoformat()
        partition = self.context.run.tags.get(PARTITION_TAG, today)
        names = ["partition_date", "min_date", "max_date"]
        variables: dict[str, str] = dict.fromkeys(names, partition)
        if not is_date(partition):
            self._refuse_variables(chosen, tuple(variables), f"the partition {partition!r}")
        return variables

    def _refuse_variables(
        self, chosen: Sequence[str], names: tuple[str, ...], run_has: str
    ) -> None:
        nodes = self.models.dbt.manifest["nodes"]
        pattern = re.compile(rf"""\bvar\(\s*['"](?:{"|".join(names)})['"]""")
        using = [nodes[uid] for uid in chosen if pattern.search(nodes[uid].get("raw_code") or "")]
        if using:
            raise InvalidPartitionError(
                f"The dbt model {using[0]['name']!r} ({using[0]['original_file_path']}) uses "
                f"{' or '.join(map(repr, names))}, and this run has no single day for it.",
                got=run_has,
                expected="one partition, a date",
                hint="Run one partition at a time, as `phlo backfill` does, or let the model use "
                "min_date and max_date.",
                model=using[0]["name"],
            )

    def _audit(self, unique_id: str, ready: Mapping[str, Staged]) -> Audit:
        """Audit the stage of a model by its blocking suites."""
        return audit(
            self.models.suites.get(unique_id, ()),
            self.lake,
            ready[unique_id],
            beside=ready.values(),
            context=self.context,
        )

    def _record_audits(self, outcome: DbtOutcome) -> None:
        for unique_id, audited in outcome.audits.items():
            self.checked.setdefault(unique_id, []).extend(audited.results)
            notify_checks(audited.results, self.context.run.run_id, staged=True)

    def _judge_published(self, outcome: DbtOutcome | None) -> None:
        """Judge the published tables by checks selected alone, or that take no part in audits."""
        published = set(outcome.published) if outcome is not None else set()
        names = {(key.asset_key, key.name) for key in self._selected_checks}
        for unique_id, suites in self.models.suites.items():
            key = self.models.keys[unique_id]
            is_selected = key in self._selected_keys
            if is_selected and unique_id not in published:
                continue  # withheld: the published table is not what this run made
            results = judge_published(
                suites,
                self.lake,
                lambda check, key=key, is_selected=is_selected: (
                    (key, check.name) in names and not (is_selected and check.audits)
                ),
                run_id=self.context.run.run_id,
                context=self.context,
            )
            self.checked.setdefault(unique_id, []).extend(results)

    def _results(self, outcome: DbtOutcome) -> Iterator[Any]:
        budget = LineageBudget()
        for unique_id, published in outcome.published.items():
            key = self.models.keys[unique_id]
            seconds = outcome.seconds.get(unique_id, 0.0)
            query = outcome.compiled.get(unique_id, "")
            metadata = published_metadata(
                self.models.dbt, unique_id, published, self.lake, query, budget
            )
            yield MaterializeResult(
                asset_key=key, metadata={**metadata, "phlo/seconds": round(seconds, 3)}
            )
            event = LoadEvent(
                table=published.table,
                asset_key=key.to_user_string(),
                partition=None,
                run_id=self.context.run.run_id,
                account=published.account,
                published=published,
                error=None,
                seconds=seconds,
            )
            notify("phlo_on_load", event)
        yield from self._test_results(outcome)

    def _test_results(self, outcome: DbtOutcome) -> Iterator[Any]:
        """Yield the results of tests as dagster-dbt translates them."""
        for event in outcome.events:
            if event["info"]["name"] == "LogTestResult":
                manifest = self.models.dbt.manifest
                yield from translate_test_result(event, manifest, TRANSLATOR, self.context)

    def _suite_results(self) -> Iterator[Any]:
        names = {(key.asset_key, key.name) for key in self._selected_checks}
        for unique_id, results in self.checked.items():
            key = self.models.keys[unique_id]
            for result in results:
                if (key, result.check) in names:
                    yield to_asset_check_result(result, key.path)

    def _raise_failures(self, outcome: DbtOutcome) -> None:
        nodes = self.models.dbt.manifest["nodes"]
        lines = outcome.withheld_lines(nodes)
        for line in lines:
            self.context.log.error(line)
        if outcome.failures or lines:
            texts = ["dbt failed.", *outcome.failures, *outcome.evidence, *lines]
            raise Failure(
                description="\n".join(texts),
                metadata={
                    PARTIAL_FAILURE: True,
                    "withheld": sorted(nodes[uid]["name"] for uid in outcome.withheld),
                    "failures": outcome.failures,
                },
                allow_retries=False,
            )
