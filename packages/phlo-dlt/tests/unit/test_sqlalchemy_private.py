from phlo_dlt.sqlalchemy_private import exact_json
from sqlalchemy import JSON, Column, MetaData, Table, create_engine, text

TABLE = Table("t", MetaData(), Column("v", JSON))
EXACT = {"a": "12345678901234567890.50", "b": "1 and 2"}


def read(engine):
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS t (v JSON)"))
        connection.execute(text("DELETE FROM t"))
        connection.execute(
            text("INSERT INTO t VALUES (:v)"),
            {"v": '{"a": 12345678901234567890.50, "b": 1, "b": 2}'},
        )
        return connection.execute(TABLE.select()).scalar_one()


def test_exact_json_keeps_digits_and_repeated_names_of_an_engine_made_before():
    engine = create_engine("sqlite://")

    with exact_json():
        with exact_json():
            pass
        value = read(engine)

    assert (value["a"].digits, str(value["b"])) == (EXACT["a"], EXACT["b"])
    engine.dispose()


def test_exact_json_leaves_a_reader_that_the_engine_was_given():
    engine = create_engine("sqlite://", json_deserializer=str.upper)

    with exact_json():
        value = read(engine)

    assert value == '{"A": 12345678901234567890.50, "B": 1, "B": 2}'
    engine.dispose()


def test_exact_json_changes_no_engine_that_is_used_after_it():
    with exact_json():
        pass
    engine = create_engine("sqlite://")

    assert read(engine)["b"] == 2
    engine.dispose()
