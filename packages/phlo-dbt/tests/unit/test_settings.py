import datetime

import pytest
from phlo.config import load_settings
from phlo.errors import ConfigurationError
from phlo_dbt.settings import DbtSettings, vars_option


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ('{"region": "eu", "days": 3}', {"region": "eu", "days": 3}),
        ("{region: eu, days: 3}", {"region": "eu", "days": 3}),
        ("region: eu", {"region": "eu"}),
        ("{day: 2025-01-02}", {"day": datetime.date(2025, 1, 2)}),
        ("", {}),
    ],
)
def test_variables_are_read_as_dbt_reads_them(phlo_environment, monkeypatch, text, variables):
    monkeypatch.setenv("PHLO_DBT_VARS", text)
    assert load_settings(DbtSettings).vars == variables


@pytest.mark.parametrize("text", ["region", "[1, 2]", "{region: "])
def test_variables_that_are_no_mapping_name_the_setting(phlo_environment, monkeypatch, text):
    monkeypatch.setenv("PHLO_DBT_VARS", text)
    with pytest.raises(ConfigurationError, match="PHLO_DBT_VARS"):
        load_settings(DbtSettings)


def test_dbt_gets_variables_as_they_were_written():
    variables = {"day": datetime.date(2025, 1, 2), "text": "a: 'b'", "much": [1.5, None, True]}
    assert vars_option(variables) == [
        "--vars",
        "{day: 2025-01-02, much: [1.5, null, true], text: 'a: ''b'''}",
    ]
