import pytest
from phlo.errors import AssetNotFoundError
from phlo.names import TableName
from phlo.plugins import hookimpl, plugin_manager
from phlo.values import TableAsset
from phlo_cli.location import open_location
from phlo_cli.names import select, split_commas


class Tables:
    """A plugin that says which asset makes which table."""

    @hookimpl
    def phlo_register_tables(self, project):
        def made(table, key, *names):
            return TableAsset(TableName.parse(table), (key,), names=names)

        return [
            made("bronze.orders", "dlt_orders", "load_orders"),
            made("bronze.refunds", "dlt_refunds"),
            made("gold.refunds", "daily_totals"),
        ]


@pytest.fixture
def location(plain_project):
    plugin_manager().register(Tables())
    opened = open_location()
    yield opened
    opened.instance.dispose()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("dlt_orders", {"dlt_orders"}),
        ("bronze.orders", {"dlt_orders"}),
        ("orders", {"dlt_orders"}),
        ("load_orders", {"dlt_orders"}),
        ("orders+", {"dlt_orders", "dlt_refunds", "daily_totals"}),
        ("+gold.refunds", {"dlt_orders", "dlt_refunds", "daily_totals"}),
        ("+bronze.refunds+", {"dlt_orders", "dlt_refunds", "daily_totals"}),
        ("orders,broken", {"dlt_orders", "broken"}),
        ("group:api", {"dlt_orders"}),
        ("tag:domain=orders", {"dlt_orders"}),
        ('group:marts or key:"broken"', {"daily_totals", "broken"}),
        ("group:api,key:bro*", {"dlt_orders", "broken"}),
    ],
)
def test_a_name_or_expression_means_assets(location, text, keys):
    assert {key.to_user_string() for key in select(location, [text])} == keys


def test_several_arguments_are_joined(location):
    keys = select(location, ["orders", "broken"])
    assert {key.to_user_string() for key in keys} == {"dlt_orders", "broken"}


def test_a_wrong_name_gives_the_nearest(location):
    with pytest.raises(AssetNotFoundError, match="No asset is called 'odrers'") as error:
        select(location, ["odrers"])
    assert error.value.hint == "Did you mean 'orders'?"


def test_a_name_of_two_tables_lists_both(location):
    with pytest.raises(AssetNotFoundError, match="'refunds' means 2 assets") as error:
        select(location, ["refunds"])
    assert error.value.near == ["daily_totals", "dlt_refunds"]


@pytest.mark.parametrize("text", ["tag:nobody", "group:nobody", "key:nothing*"])
def test_an_expression_that_selects_nothing_is_an_error(location, text):
    with pytest.raises(AssetNotFoundError, match="has no asset"):
        select(location, [text])


def test_an_expression_that_cannot_be_read_is_an_error(location):
    with pytest.raises(AssetNotFoundError, match="cannot be read"):
        select(location, ["group:(("])


def test_commas_in_quotes_and_brackets_do_not_split():
    assert list(split_commas('a,key:"b,c", (tag:x or sinks(a, b)),')) == [
        "a",
        'key:"b,c"',
        "(tag:x or sinks(a, b))",
    ]
