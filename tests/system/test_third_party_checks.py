"""Checks of a third party: found by entry point, and conforming like the built-in ones."""

import importlib
import shutil
import sys
import tomllib
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from phlo.errors import PluginError
from phlo.plugins import hookimpl, list_plugins, plugin_manager, reset_plugins
from phlo_quality import CountCheck, NullCheck, PatternCheck, UniqueCheck
from phlo_testing.checks import CheckConformance

PROJECT = Path(__file__).parents[1] / "fixtures" / "phlo-example-checks"


@pytest.fixture
def example_checks(phlo_environment, tmp_path, monkeypatch):
    """The distribution, laid out as an installer leaves it."""
    site = tmp_path / "site"
    shutil.copytree(PROJECT / "src", site)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    info = site / f"phlo_example_checks-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [f"{name} = {module}" for name, module in project["entry-points"]["phlo"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[phlo]", *lines]))
    monkeypatch.syspath_prepend(str(site))
    reset_plugins()
    import phlo_example_checks

    yield phlo_example_checks
    reset_plugins()
    for name in [n for n in sys.modules if n.startswith("phlo_example_checks")]:
        del sys.modules[name]


def test_a_distribution_with_an_entry_point_registers_its_checks(example_checks):
    (info,) = [p for p in list_plugins() if p.name == "example-checks"]
    assert (info.distribution, info.version) == ("phlo-example-checks", "1.2.3")
    assert info.hooks == ("phlo_register_checks",)
    assert info.checks == ("MedianCheck", "WeekdayCheck")
    groups = plugin_manager().hook.phlo_register_checks()
    found = {check.__name__ for group in groups for check in group}
    assert {"WeekdayCheck", "MedianCheck", "NullCheck", "KeyParityCheck"} <= found
    assert not {"QualityCheck", "SqlCheck", "RowCheck", "QueryCheck"} & found


def test_a_plugin_that_cannot_hand_over_its_checks_is_named(example_checks, monkeypatch):
    @hookimpl
    def phlo_register_checks():
        raise ImportError("No module named 'scipy'")

    plugin = importlib.import_module("phlo_example_checks.plugin")
    monkeypatch.setattr(plugin, "phlo_register_checks", phlo_register_checks)
    with pytest.raises(PluginError, match=r"phlo-example-checks 1\.2\.3 cannot .*'scipy'") as error:
        list_plugins()
    assert "PHLO_DISABLED_PLUGINS=example-checks" in str(error.value.hint)


class OfExample(CheckConformance):
    @pytest.fixture(autouse=True)
    def _example(self, example_checks):
        self.example = example_checks


class TestWeekdayCheck(OfExample):
    good_rows = pa.table({"day": [date(2025, 1, 13), date(2025, 1, 17), None]})
    bad_rows = pa.table({"day": [date(2025, 1, 18), date(2025, 1, 17), date(2025, 1, 19)]})
    failing_rows = [{"day": date(2025, 1, 18)}, {"day": date(2025, 1, 19)}]

    def make_check(self):
        return self.example.WeekdayCheck("day")


class TestMedianCheck(OfExample):
    good_rows = pa.table({"v": [1.0, 2.0, 9.0]})
    bad_rows = pa.table({"v": [1.0, 8.0, 9.0]})

    def make_check(self):
        return self.example.MedianCheck("v", at_most=2)


class TestNullCheck(CheckConformance):
    good_rows = pa.table({"v": ["a", ""]})
    bad_rows = pa.table({"v": ["a", None]})
    failing_rows = [{"v": None}]

    def make_check(self):
        return NullCheck(columns=["v"])


class TestUniqueCheck(CheckConformance):
    good_rows = pa.table({"v": ["a", "b", None, None]})
    bad_rows = pa.table({"v": ["x", "x", "y"]})
    failing_rows = [{"v": "x"}, {"v": "x"}]

    def make_check(self):
        return UniqueCheck(columns=["v"])


class TestPatternCheckInPython(CheckConformance):
    good_rows = pa.table({"v": ["aa", "bb", None]})
    bad_rows = pa.table({"v": ["ab", "bb"]})
    failing_rows = [{"v": "ab"}]

    def make_check(self):
        return PatternCheck("v", r"(\w)\1")


class TestCountCheck(CheckConformance):
    good_rows = pa.table({"v": [1, 2]})
    bad_rows = pa.table({"v": [1]})
    judges_no_rows = True

    def make_check(self):
        return CountCheck(min_count=2)
