from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest
from phlo.errors import ConfigurationError, InvalidArgumentError, UnsupportedTypeError
from phlo.schemas import PhloSchema
from phlo_dbt.dbt_schema import dbt_model_to_pandera

GUIDE = """
version: 2

models:
  - name: fct_glucose_readings
    description: "Silver layer fact table for enriched glucose readings"
    columns:
      - name: entry_id
        description: "Unique identifier for the glucose entry"
        data_tests:
          - not_null
          - unique

      - name: glucose_mg_dl
        description: "Blood glucose level in mg/dL"
        data_tests:
          - not_null

      - name: glucose_category
        description: "Categorized glucose level"
        data_tests:
          - not_null
          - accepted_values:
              arguments:
                values:
                  - "hypoglycemia"
                  - "in_range"

      - name: hour_of_day
        description: "Hour when reading was taken"
        data_tests:
          - not_null
          - accepted_values:
              arguments:
                values: [0, 1, 2, 3]
                quote: false
"""


def model_of(tmp_path: Path, columns: str, *, model: str = "m") -> type[PhloSchema]:
    indented = "\n".join("      " + line for line in columns.strip("\n").splitlines())
    file = tmp_path / "m.yml"
    file.write_text(f"models:\n  - name: {model}\n    columns:\n{indented}\n")
    return dbt_model_to_pandera(file, model)


def columns_of(model: type[PhloSchema]):
    return model.to_schema().columns


def checks_of(model: type[PhloSchema], column: str) -> dict:
    return {c.name: c.statistics for c in columns_of(model)[column].checks}


def failing(model: type[PhloSchema], rows: dict) -> list[tuple[str, str]]:
    try:
        model.validate(pd.DataFrame(rows), lazy=True)
    except pa.errors.SchemaErrors as exc:
        cases = exc.failure_cases
        return sorted(set(zip(cases["column"], cases["check"], strict=True)))
    return []


def test_the_guides_model_becomes_a_schema(tmp_path):
    file = tmp_path / "fct.yml"
    file.write_text(GUIDE)

    model = dbt_model_to_pandera(file, "fct_glucose_readings")

    assert issubclass(model, PhloSchema)
    assert model.__name__ == "FctGlucoseReadings"
    assert model.__doc__ == "Silver layer fact table for enriched glucose readings"
    columns = columns_of(model)
    assert [(n, c.nullable, c.unique) for n, c in columns.items()] == [
        ("entry_id", False, True),
        ("glucose_mg_dl", False, False),
        ("glucose_category", False, False),
        ("hour_of_day", False, False),
    ]
    assert str(columns["hour_of_day"].dtype) == "int64"
    assert checks_of(model, "hour_of_day") == {"isin": {"allowed_values": [0, 1, 2, 3]}}
    assert columns["entry_id"].description == "Unique identifier for the glucose entry"
    assert model.__phlo_unmapped_tests__ == ()


def test_the_guides_schema_judges_rows(tmp_path):
    file = tmp_path / "fct.yml"
    file.write_text(GUIDE)
    model = dbt_model_to_pandera(file, "fct_glucose_readings")
    good = {
        "entry_id": ["a", "b"],
        "glucose_mg_dl": ["90", "91"],
        "glucose_category": ["in_range", "in_range"],
        "hour_of_day": [0, 3],
    }

    assert failing(model, good) == []
    assert failing(model, good | {"hour_of_day": [0, 24]}) == [
        ("hour_of_day", "isin([0, 1, 2, 3])")
    ]
    assert failing(model, good | {"entry_id": ["a", "a"]}) == [("entry_id", "field_uniqueness")]


def test_a_class_name_can_be_given(tmp_path):
    file = tmp_path / "fct.yml"
    file.write_text(GUIDE)
    assert dbt_model_to_pandera(str(file), "fct_glucose_readings", "Own").__name__ == "Own"


def test_an_unknown_model_lists_those_in_the_file(tmp_path):
    file = tmp_path / "fct.yml"
    file.write_text(GUIDE)
    with pytest.raises(InvalidArgumentError) as caught:
        dbt_model_to_pandera(file, "fct_glucose_reading")
    assert caught.value.available == ["fct_glucose_readings"]
    assert "Did you mean 'fct_glucose_readings'?" in str(caught.value)


@pytest.mark.parametrize("text", ["sources: []", "a: [", "models:\n  - fct"])
def test_a_file_without_models_is_a_clear_error(tmp_path, text):
    file = tmp_path / "x.yml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="x.yml"):
        dbt_model_to_pandera(file, "m")


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.yml does not exist"):
        dbt_model_to_pandera(tmp_path / "nowhere.yml", "m")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (
            "dbt_utils.accepted_range: {min_value: 1, max_value: 9}",
            {
                "greater_than_or_equal_to": {"min_value": 1},
                "less_than_or_equal_to": {"max_value": 9},
            },
        ),
        (
            "accepted_range: {min_value: 1, inclusive: false}",
            {"greater_than": {"min_value": 1}},
        ),
        (
            "dbt_utils.accepted_range: {arguments: {max_value: 2.5, inclusive: true}}",
            {"less_than_or_equal_to": {"max_value": 2.5}},
        ),
        (
            "dbt_expectations.expect_column_values_to_be_between: "
            "{arguments: {min_value: 0, max_value: 5, strictly: true}}",
            {"greater_than": {"min_value": 0}, "less_than": {"max_value": 5}},
        ),
        (
            "dbt_expectations.expect_column_values_to_be_between: {min_value: 0}",
            {"greater_than_or_equal_to": {"min_value": 0}},
        ),
    ],
)
@pytest.mark.parametrize("key", ["data_tests", "tests"])
def test_range_tests_become_bounds(tmp_path, key, test, expected):
    model = model_of(tmp_path, f"- name: level\n  {key}:\n    - {test}")
    assert checks_of(model, "level") == expected
    assert model.__phlo_unmapped_tests__ == ()


def test_a_column_without_not_null_takes_nulls_but_must_exist(tmp_path):
    model = model_of(tmp_path, "- name: reading_count\n- name: is_open\n  data_type: boolean")
    assert failing(model, {"reading_count": [1, None], "is_open": [True, None]}) == []
    assert [check for _, check in failing(model, {"is_open": [True]})] == ["column_in_dataframe"]


def test_a_test_that_warns_or_filters_is_no_constraint_but_is_listed(tmp_path):
    model = model_of(
        tmp_path,
        """
- name: a
  data_tests:
    - not_null: {config: {severity: warn}}
    - unique: {config: {where: "b > 1"}}
    - dbt_expectations.expect_column_values_to_be_between:
        {arguments: {min_value: 1, row_condition: "b = 2"}}
- name: b
  tests:
    - not_null: {severity: WARN}
    - relationships: {to: ref('x'), field: id}
""",
    )
    assert failing(model, {"a": ["x", "x", None], "b": [None, "1", "2"]}) == []
    assert model.__phlo_unmapped_tests__ == (
        "a: not_null (severity: warn)",
        "a: unique (where: b > 1)",
        "a: dbt_expectations.expect_column_values_to_be_between (row_condition: b = 2)",
        "b: not_null (severity: warn)",
        "b: relationships",
    )


def test_tests_of_the_whole_model_are_listed(tmp_path):
    file = tmp_path / "m.yml"
    file.write_text(
        "models:\n  - name: m\n    data_tests:\n"
        "      - dbt_utils.unique_combination_of_columns: {combination_of_columns: [a, b]}\n"
    )
    model = dbt_model_to_pandera(file, "m")
    assert model.__phlo_unmapped_tests__ == ("m: dbt_utils.unique_combination_of_columns",)


def test_a_bound_that_is_an_sql_expression_is_listed(tmp_path):
    model = model_of(
        tmp_path,
        "- name: paid_at\n  tests:\n    - dbt_utils.accepted_range: {max_value: current_timestamp}",
    )
    assert checks_of(model, "paid_at") == {}
    assert model.__phlo_unmapped_tests__ == ("paid_at: dbt_utils.accepted_range",)


def test_a_bound_on_a_date_is_a_date(tmp_path):
    model = model_of(
        tmp_path,
        "- name: paid_at\n  tests:\n    - dbt_utils.accepted_range: {min_value: \"'2020-01-01'\"}",
    )
    assert checks_of(model, "paid_at") == {
        "greater_than_or_equal_to": {"min_value": datetime(2020, 1, 1)}
    }


def test_unquoted_numbers_written_as_text_are_numbers(tmp_path):
    model = model_of(
        tmp_path,
        '- name: level\n  tests:\n    - accepted_values: {values: ["1", "2"], quote: false}',
    )
    assert checks_of(model, "level") == {"isin": {"allowed_values": [1, 2]}}


def test_accepted_values_take_the_type_of_the_column(tmp_path):
    model = model_of(
        tmp_path, "- name: state_id\n  tests:\n    - accepted_values: {values: [1, 2]}"
    )
    assert checks_of(model, "state_id") == {"isin": {"allowed_values": ["1", "2"]}}
    assert failing(model, {"state_id": [1, 3]}) == [("state_id", "isin(['1', '2'])")]


def test_data_type_wins_over_the_name(tmp_path):
    model = model_of(
        tmp_path,
        """
- name: user_id
  data_type: BIGINT
  tests: [not_null]
- name: paid_amount
  data_type: decimal(10, 2)
  tests:
    - dbt_utils.accepted_range: {min_value: 0.5}
""",
    )
    columns = columns_of(model)
    assert [str(c.dtype) for c in columns.values()] == ["int64", "Decimal(10, 2)"]
    assert checks_of(model, "paid_amount") == {
        "greater_than_or_equal_to": {"min_value": Decimal("0.5")}
    }


def test_an_unknown_data_type_names_model_and_column(tmp_path):
    with pytest.raises(UnsupportedTypeError, match=r"data_type of m\.a is unknown"):
        model_of(tmp_path, "- name: a\n  data_type: hologram")


def test_columns_that_python_cannot_name_keep_their_names(tmp_path):
    model = model_of(
        tmp_path, "- name: _id\n  tests: [not_null]\n- name: class\n- name: validate\n- name: a b"
    )
    assert list(columns_of(model)) == ["_id", "class", "validate", "a b"]
    assert columns_of(model)["_id"].nullable is False


def test_a_model_without_columns_is_a_schema_without_columns(tmp_path):
    file = tmp_path / "m.yml"
    file.write_text("models:\n  - name: m\n")
    model = dbt_model_to_pandera(file, "m")
    assert columns_of(model) == {}
    assert model.__doc__ == "The dbt model m."


def schema_of(tmp_path, columns: str, name: str = "m", more: str = ""):
    file = tmp_path / "m.yml"
    file.write_text(f"models: [{{name: m, columns: {columns}{more}}}]")
    return dbt_model_to_pandera(file, name)


def test_tests_of_one_kind_hold_together(tmp_path):
    schema = schema_of(
        tmp_path,
        """[
            {name: n, data_tests: [dbt_utils.accepted_range: {min_value: 5, max_value: 9},
                                   dbt_utils.accepted_range: {min_value: 0, max_value: 7}]},
            {name: v, data_tests: [accepted_values: {values: [a, b]},
                                   accepted_values: {values: [b, c]}]},
            {name: j, data_tests: [accepted_values: {values: "{{ var('v') }}"}]},
            {name: k, constraints: [{type: primary_key}]},
            {name: k, data_tests: [accepted_values: {values: [x]}]},
        ]""",
    )
    columns = schema.to_schema().columns
    bounds = [check.statistics for check in columns["n"].checks]
    assert {"min_value": 5} in bounds
    assert {"max_value": 7} in bounds
    assert columns["v"].checks[0].statistics == {"allowed_values": ["b"]}
    assert schema.__phlo_unmapped_tests__ == ("j: accepted_values",)
    assert (columns["k"].nullable, columns["k"].unique) == (False, True)
    assert columns["k"].checks[0].statistics == {"allowed_values": ["x"]}


def test_a_version_has_its_own_columns(tmp_path):
    versions = (
        ", latest_version: 2, versions: [{v: 1}, {v: 2, columns: "
        "[{include: all, exclude: [old]}, {name: new}]}]"
    )
    for name, columns in {"m": ["id", "new"], "m_v1": ["id", "old"], "m.v2": ["id", "new"]}.items():
        schema = schema_of(tmp_path, "[{name: id}, {name: old}]", name, versions)
        assert list(schema.to_schema().columns) == columns


@pytest.mark.parametrize(
    "columns",
    [
        "[{name: 1}]",
        "[{description: x}]",
        "[a]",
        "[{name: a, data_tests: [null]}]",
        "[{name: a, data_tests: [{}]}]",
        "[{name: a, data_tests: not_null}]",
    ],
)
def test_a_malformed_entry_says_where_it_is_and_how_it_is_written(tmp_path, columns):
    with pytest.raises(ConfigurationError, match="Hint: Write it as dbt reads it"):
        schema_of(tmp_path, columns)


def test_types_that_the_yaml_does_not_tell_are_guesses(tmp_path):
    schema = schema_of(
        tmp_path,
        """[
            {name: note}, {name: total_amount, data_tests: [not_null]},
            {name: typed, data_type: integer},
            {name: hour, data_tests: [accepted_values: {values: [0, 1], quote: false}]},
        ]""",
    )
    assert schema.__phlo_guessed_columns__ == ("note", "total_amount")
