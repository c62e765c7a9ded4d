"""What the private parts of dlt must do, each by name."""

from decimal import Decimal

import dlt
import requests
from dlt.common.libs import pandas_sql
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.rest_api import rest_api
from phlo_dlt.dlt_private import (
    keep_digits,
    keep_exact_objects,
    resource_pipe,
    set_source_function,
    source_function,
    watch_absent_selectors,
)


def test_source_function_is_called_with_the_arguments_as_they_came():
    original, calls = source_function(rest_api), []

    def record(*args, **kwargs):
        calls.append((args, kwargs))
        return original(client={"base_url": "http://127.0.0.1"}, resources=["a"])

    set_source_function(rest_api, record)
    try:
        source = rest_api({"any": "form"})
    finally:
        set_source_function(rest_api, original)

    assert calls == [(({"any": "form"},), {})]
    assert list(source.resources) == ["a"]
    assert source_function(rest_api) is original


def test_resource_pipe_lets_the_head_be_replaced_and_steps_be_added():
    resource = dlt.resource([1, 2], name="numbers")
    pipe = resource_pipe(resource)

    pipe.replace_gen([[3, 4]])
    resource.add_map(lambda item: item * 10)

    assert list(resource) == [30, 40]


def answered(body: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code, response.url, response._content = 200, "http://127.0.0.1/x", body
    return response


def test_watch_absent_selectors_collects_what_an_answer_lacks_within_its_context():
    client = RESTClient("http://127.0.0.1")
    answer = answered(b'{"data": {"rows": []}, "none": null}')

    with watch_absent_selectors() as absent:
        for selector in ("data.rows", "data.rows[*]", "none", "data.items", "$.items[*]"):
            assert client.extract_response(answer, selector) == []
    client.extract_response(answer, "items")

    assert absent == [("http://127.0.0.1/x", "data.items"), ("http://127.0.0.1/x", "$.items[*]")]


def test_keep_digits_lets_an_answer_keep_the_digits_of_its_numbers():
    response = requests.Response()
    response._content = b'{"a": 12345678901234567.890, "b": 0.5, "c": 18446744073709551617}'

    keep_digits(response)

    answer = response.json()
    assert answer["a"].digits == "12345678901234567.890"
    assert (answer["b"], answer["c"]) == (0.5, 2**64 + 1)


def test_keep_exact_objects_keeps_what_frames_would_change():
    rows = [(1, Decimal("0.10"), {"a": 1}, b"\xff"), (None, None, None, None)]
    names = ["n", "d", "j", "b"]

    keep_exact_objects()
    keep_exact_objects()
    frame = pandas_sql._wrap_result(rows, names, dtype_backend="pyarrow")
    asked = pandas_sql._wrap_result([(Decimal("0.5"),)], ["d"], coerce_float=True)

    assert [tuple(row) for row in frame[["d", "j", "b"]].itertuples(index=False)] == [
        row[1:] for row in rows
    ]
    assert str(frame["n"].dtype) == "int64[pyarrow]"
    assert str(asked["d"].dtype) == "float64"


def test_keep_digits_lets_an_answer_keep_both_values_of_a_name():
    response = requests.Response()
    response._content = b'[{"a": 1, "a": 2}, {"a": 3}]'

    keep_digits(response)

    first, second = response.json()
    assert (str(first["a"]), second) == ("1 and 2", {"a": 3})
