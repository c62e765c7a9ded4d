"""What the private parts of dlt must do, each by name."""

import dlt
from dlt.sources.rest_api import rest_api
from phlo_dlt.dlt_private import resource_pipe, set_source_function, source_function


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
