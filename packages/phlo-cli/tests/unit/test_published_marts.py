"""Marts that cannot follow tables that moved: told, and never raised."""

import click
import pytest
from phlo.names import TableName
from phlo_cli import published_marts
from phlo_cli.output import Output


@pytest.mark.parametrize("error", [RuntimeError("no room"), OSError("no room")])
def test_no_error_is_raised_after_the_tables_moved(plain_project, monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(published_marts, "publishers_of", fail)
    with click.Context(click.Command("apply")) as ctx:
        tables = [TableName("bronze", "events")]
        assert not published_marts.publish_moved_marts(ctx, tables, Output(), branch="main")
    told = capsys.readouterr().err
    assert "The tables have moved" in told
    assert "no room" in told
