"""`phlo lineage`, from the source's field to the published column."""

import json

from hypothesis import given
from hypothesis import strategies as st
from phlo_cli.lineage import Column, Lineage, Node, sensitive_columns
from phlo_cli.lineage_diagrams import draw
from phlo_cli.project_index import IndexedAsset, ProjectIndex

ORDERS = """
    import dagster as dg
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion


    class OrderSchema(pa.DataFrameModel):
        order_id: str
        user_name: str = pa.Field(nullable=True)
        note: str = pa.Field(nullable=True)


    @phlo_ingestion(
        table_name="orders", unique_key="order_id", validation_schema=OrderSchema, group="shop"
    )
    def orders(partition_date: str):
        return [{"orderId": "a", "user_name": "ann"}]


    @dg.asset(deps=["dlt_orders"])
    def totals(context) -> None:
        context.add_output_metadata(
            {
                "published": dg.MetadataValue.table(
                    [dg.TableRecord({"table": "marts.orders", "source": "bronze.orders"})]
                ),
            }
        )
"""


def lineage_of(*nodes: Node) -> Lineage:
    return Lineage({node.name: node for node in nodes})


def columns(**of: str) -> dict[str, tuple[Column, ...]]:
    return {n: tuple(Column(*one.rsplit(".", 1)) for one in text.split()) for n, text in of.items()}


CHAIN = lineage_of(
    Node("source:b.raw", "source", "raw", (), columns(mailAddress="", id="")),
    Node(
        "b.raw",
        "table",
        "raw",
        ("source:b.raw",),
        columns(mail="source:b.raw.mailAddress", id="source:b.raw.id", note=""),
    ),
    Node("s.clean", "table", "clean", ("b.raw",), columns(who="b.raw.mail b.raw.id", n="")),
    Node("s.python", "table", "python", ("b.raw",)),
    Node("g.of_python", "table", "of_python", ("s.python",), columns(a="s.python.a")),
    Node("postgres:marts.m", "published", "p", ("s.clean",), columns(who="s.clean.who")),
)


def test_a_change_of_a_column_touches_all_that_is_made_of_it_down_to_the_mart():
    mail = Column("b.raw", "mail")
    assert list(map(str, CHAIN.columns_above(mail))) == ["source:b.raw.mailAddress"]
    touched = [str(one) for one in CHAIN.columns_below(mail)]
    assert touched == ["s.clean.who", "postgres:marts.m.who"]
    assert CHAIN.columns_below(Column("b.raw", "note")) == []
    assert CHAIN.unknown_below(mail) == ["g.of_python", "s.python"]
    assert CHAIN.unknown_below(Column("s.clean", "who")) == []


def test_sensitive_columns_go_down_and_unknown_tables_are_sensitive_as_a_whole():
    asset = IndexedAsset("raw", "b.raw", (), "g", (), sensitive=("mail",))
    masked = sensitive_columns(CHAIN, ProjectIndex("", (), "", (asset,), ()))
    assert masked == {
        "b.raw": {"mail"},
        "s.clean": {"who"},
        "postgres:marts.m": {"who"},
        "s.python": None,
        "g.of_python": None,
    }


def test_show_and_export_know_the_fields_of_the_source(phlo_project, phlo):
    phlo_project.write("workflows/orders.py", ORDERS)
    before = phlo("lineage", "show", "orders", "--json").json
    assert (before["made_of"], before["columns"]) == (["source:bronze.orders"], None)
    assert phlo("materialize", "orders,totals", "--partition", "2025-01-15").code == 0

    answer = phlo("lineage", "show", "bronze.orders.order_id", "--json").json
    assert answer == {
        "column": "bronze.orders.order_id",
        "made_of": ["source:bronze.orders.orderId"],
        "touches": ["postgres:marts.orders.order_id"],
        "unknown": [],
    }
    table = phlo("lineage", "show", "dlt_orders", "--json").json
    assert table["columns"]["user_name"] == ["source:bronze.orders.user_name"]
    assert table["columns"]["note"] == []
    assert table["touches"] == ["postgres:marts.orders"]
    listed = {row["table"]: row["made_of"] for row in phlo("lineage", "show", "--json").json}
    assert listed["postgres:marts.orders"] == ["bronze.orders"]
    assert "source:bronze.orders.orderId" in phlo("lineage", "show", "orders.order_id").out

    drawn = json.loads(phlo("lineage", "export", "orders.order_id", "--format", "json").out)
    assert len(drawn["nodes"]) == 3
    assert {"from": "source:bronze.orders.orderId", "to": "bronze.orders.order_id"} in drawn[
        "edges"
    ]
    wrong = phlo("lineage", "show", "bronze.orders.order_idd")
    assert (wrong.code, "Did you mean 'order_id'?" in wrong.err) == (2, True)
    assert phlo("lineage", "show", "nothing").code == 2


NAMES = st.text(min_size=1, max_size=8)


@given(NAMES, NAMES)
def test_json_holds_any_name_as_it_is(parent, child):
    nodes = {n: Node(n, "table", n) for n in (parent, child)}
    nodes[child] = Node(child, "table", child, (parent,))
    drawn = json.loads(draw("json", Lineage(nodes), set(nodes), with_columns=False))
    assert set(drawn["nodes"]) == {parent, child}
    assert drawn["edges"] == [{"from": parent, "to": child}]


def test_diagrams_name_every_node_and_keep_quotes_apart():
    hostile = 'a"]; x --> y'
    lineage = lineage_of(Node(hostile, "table", "k"), Node("b", "table", "b", (hostile,)))
    mermaid = draw("mermaid", lineage, set(lineage.nodes), with_columns=False)
    assert mermaid.splitlines() == [
        "flowchart LR",
        '  n0["a#34;]#59; x --#62; y"]',
        '  n1["b"]',
        "  n0 --> n1",
    ]
    dot = draw("dot", lineage, set(lineage.nodes), with_columns=False)
    assert '"a\\"]; x --> y" -> "b";' in dot
    of_columns = draw("dot", CHAIN, set(CHAIN.nodes), with_columns=True)
    assert '"s.clean.who" -> "postgres:marts.m.who";' in of_columns
