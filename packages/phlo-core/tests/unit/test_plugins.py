"""Plugins as they are installed: found, named, switched off, and refused where they are broken."""

import importlib
import logging
import sys
import textwrap

import pytest
from phlo.errors import PluginError
from phlo.events import RunEvent
from phlo.plugins import list_plugins, notify, plugin_manager, reset_plugins


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one plugin, as pip would."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def installed(name, source, entry="gadget"):
        module = name.replace("-", "_")
        monkeypatch.delitem(sys.modules, module, raising=False)
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = folder / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[phlo]\n{entry} = {module}\n")
        importlib.invalidate_caches()
        reset_plugins()

    yield installed
    reset_plugins()


OBSERVER = """
    from phlo.plugins import hookimpl
    seen = []

    @hookimpl
    def phlo_on_run(event):
        seen.append(event)
"""


def info_of(name):
    return next(plugin for plugin in list_plugins() if plugin.name == name)


def test_an_installed_plugin_is_listed_with_what_it_answers(install):
    install("phlo-gadget", OBSERVER)

    found = info_of("gadget")

    assert (found.distribution, found.version, found.module) == (
        "phlo-gadget",
        "1.2",
        "phlo_gadget",
    )
    assert (found.hooks, found.is_enabled, found.checks) == (("phlo_on_run",), True, ())


def test_a_plugin_that_is_switched_off_is_listed_and_never_imported(install, monkeypatch):
    install("phlo-broken", "raise RuntimeError('imported')", entry="broken")
    monkeypatch.setenv("PHLO_DISABLED_PLUGINS", " other, broken ,")

    found = info_of("broken")

    assert (found.hooks, found.is_enabled) == ((), False)
    assert not plugin_manager().has_plugin("broken")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import not_there_at_all", "cannot be imported: ModuleNotFoundError"),
        ("raise RuntimeError('on import')", "cannot be imported: RuntimeError: on import"),
        (
            "from phlo.plugins import hookimpl\n@hookimpl\ndef phlo_no_such_hook(): ...\n",
            "does not fit this version of phlo-core",
        ),
        (
            "from phlo.plugins import hookimpl\n@hookimpl\ndef phlo_on_run(other): ...\n",
            "does not fit this version of phlo-core",
        ),
    ],
)
def test_a_broken_plugin_is_named_with_the_remedy(install, source, words):
    install("phlo-broken", source, entry="broken")

    with pytest.raises(PluginError, match=words) as caught:
        plugin_manager()

    assert "Plugin 'broken' of phlo-broken 1.2" in str(caught.value)
    if "imported" in words:
        assert "PHLO_DISABLED_PLUGINS=broken" in str(caught.value)


def test_two_plugins_of_one_name_are_refused(install):
    install("phlo-one", OBSERVER)
    install("phlo-two", OBSERVER)

    with pytest.raises(PluginError, match="has the name of a plugin that is loaded already"):
        plugin_manager()


def test_checks_that_cannot_be_handed_over_are_told(install):
    install(
        "phlo-gadget",
        """
        from phlo.plugins import hookimpl

        @hookimpl
        def phlo_register_checks():
            raise LookupError("no checks today")
        """,
    )

    with pytest.raises(PluginError, match="cannot hand over its checks: LookupError") as caught:
        list_plugins()
    assert "phlo-gadget 1.2" in str(caught.value)


def test_an_observer_that_fails_keeps_no_other_from_being_told(install, caplog):
    install("phlo-listener", OBSERVER, entry="listener")
    install(
        "phlo-gadget",
        """
        from phlo.plugins import hookimpl

        @hookimpl
        def phlo_on_run(event):
            raise LookupError("observer")
        """,
    )
    event = RunEvent("run", "success", None, 1.0, ("events",))

    with caplog.at_level(logging.WARNING):
        notify("phlo_on_run", event)

    assert importlib.import_module("phlo_listener").seen == [event]
    (record,) = [record for record in caplog.records if record.name == "phlo.plugins"]
    assert record.getMessage() == "Observer phlo_on_run of plugin gadget failed; the run goes on."
