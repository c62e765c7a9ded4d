"""Write the code of a new source: schema, function and test."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from phlo_cli.samples import Sample, SampleColumn

_NULLABLE = {"int": "pd.Int64Dtype", "bool": "pd.BooleanDtype"}
"""Types that pandas cannot hold beside a null."""

_MODULES = {"datetime": "datetime", "date": "datetime", "Annotated": "typing", "Any": "typing"}
"""Where the names come from that stand in annotations."""

_NESTED = {"list": "list[Any]", "dict": "dict[str, Any]"}
"""Pandera does not convert to a type of Python that does not say what is inside."""


def schema_code(class_name: str, sample: Sample, origin: str) -> str:
    """Return the module of a schema guessed from a sample."""
    fields = "".join(f"    {_field(column, sample)}\n" for column in sample.columns)
    annotations = " ".join(_annotation(column) for column in sample.columns)
    standard = "".join(
        f"from {module} import {name}\n"
        for name, module in sorted(_MODULES.items(), key=lambda item: item[::-1])
        if re.search(rf"\b{name}\b", annotations)
    )
    pandas = "import pandas as pd\n" if "pd." in fields else ""
    pyarrow = "import pyarrow\n" if "pyarrow." in fields else ""
    return (
        f'"""What rows of {origin} must look like, guessed from a sample: correct it."""\n\n'
        f"{standard}{chr(10) if standard else ''}{pandas}import pandera.pandas as pa\n"
        f"{pyarrow}from phlo.schemas import PhloSchema\n\n\n"
        f'class {class_name}(PhloSchema):\n    """Rows of {origin}."""\n\n{fields}'
    )


def _field(column: SampleColumn, sample: Sample) -> str:
    annotation = _annotation(column)
    arguments = [f"alias={column.name!r}"] if column.attribute != column.name else []
    is_key = sample.key == (column.name,) and sample.repeated_key is None
    arguments += ["unique=True"] if is_key and not column.has_nulls else []
    arguments += ["nullable=True"] if column.has_nulls else []
    field = f" = pa.Field({', '.join(arguments)})" if arguments else ""
    return f"{column.attribute}: {annotation}{field}"


def _annotation(column: SampleColumn) -> str:
    """Return the type of a field; a plain ``Decimal`` would have no digit after the point."""
    if column.type == "Decimal":
        return f"Annotated[pd.ArrowDtype, pyarrow.decimal128(38, {column.scale})]"
    annotation = _NESTED.get(column.type, column.type)
    return _NULLABLE.get(column.type, annotation) if column.has_nulls else annotation


def function_code(
    name: str, class_name: str, group: str, sample: Sample | None, origin: str, root: Path
) -> str:
    """Return the module of an ingestion function that loads the source of a sample."""
    imports, constant, parameters, body = _body(name, sample, origin, root)
    columns = list(sample.key) if sample else ["id"]
    key = json.dumps(columns if len(columns) > 1 else columns[0], ensure_ascii=False)
    partitions = "" if sample is None else "    partitions=None,\n"
    return (
        f'"""Load {name}."""\n\n{imports}from workflows.schemas.{name} import {class_name}\n'
        f"{constant}\n\n@phlo_ingestion(\n"
        f'    table_name="{name}",\n    unique_key={key},\n'
        f"    validation_schema={class_name},\n"
        f'    group="{group}",\n{partitions})\ndef {name}({parameters}):\n'
        f'    """Rows of {origin}."""\n{body}'
    )


def _body(name: str, sample: Sample | None, origin: str, root: Path) -> tuple[str, str, str, str]:
    """Return imports, constants, parameters and statements of the function."""
    phlo = "from phlo_dlt import phlo_ingestion\n"
    if sample is None:
        row = '{"id": f"{partition_date}-1", "happened_at": f"{partition_date}T12:00:00Z"}'
        return phlo, "", "partition_date: str", f"    return [{row}]\n"
    if sample.place == "table":
        body = f'    return table("{origin}").to_arrow()\n'
        return f"from phlo.lake import table\n{phlo}", "", "", body
    if sample.place == "address":
        imports = f"from dlt.sources.rest_api import rest_api_source\n{phlo}"
        return imports, "", "", _rest_body(name, sample, origin)
    path = Path(origin).resolve()
    constant = f"\nFOLDER = {_folder(path.parent, root)}\n"
    if sample.place == "json":
        rows = f'["{sample.selector}"]' if sample.selector else ""
        body = f'    return json.loads((FOLDER / "{path.name}").read_text()){rows}\n'
        return f"import json\nfrom pathlib import Path\n\n{phlo}", constant, "", body
    options = _read_options(sample)
    reader = f" | read_files({options})" if options else ""
    imported = "phlo_ingestion, read_files" if options else "phlo_ingestion"
    imports = (
        "from pathlib import Path\n\nfrom dlt.sources.filesystem import filesystem\n"
        f"from phlo_dlt import {imported}\n"
    )
    body = f'    return filesystem(bucket_url=str(FOLDER), file_glob="{path.name}"){reader}\n'
    return imports, constant, "", body


def _folder(folder: Path, root: Path) -> str:
    """Return a folder as an expression: relative to the file where the project holds it."""
    if not folder.is_relative_to(root):
        return f"Path({str(folder)!r})"
    below = "".join(f" / {part!r}" for part in folder.relative_to(root).parts)
    return f"Path(__file__).parents[3]{below}".replace("'", '"')


def _read_options(sample: Sample) -> str:
    options = {"delimiter": sample.delimiter, "encoding": sample.encoding}
    usual = {"delimiter": ",", "encoding": "utf-8"}
    return ", ".join(f"{n}={v!r}" for n, v in options.items() if v != usual[n])


def _rest_body(name: str, sample: Sample, address: str) -> str:
    parts = urlsplit(address)
    endpoint: dict[str, object] = {"path": parts.path.lstrip("/")}
    if parts.query:
        endpoint["params"] = dict(parse_qsl(parts.query))
    if sample.selector:
        endpoint["data_selector"] = sample.selector
    return (
        "    return rest_api_source(\n        {\n"
        '            "client": {\n'
        f'                "base_url": "{parts.scheme}://{parts.netloc}/",\n'
        f'                "paginator": {json.dumps(sample.paginator)},  # {_meaning(sample)}\n'
        "            },\n"
        f'            "resources": [{{"name": "{name}", "endpoint": {endpoint!r}}}],\n'
        "        }\n    )\n"
    )


def _meaning(sample: Sample) -> str:
    """Say which pages a paginator reads."""
    if sample.paginator == "single_page":
        return "one page only; docs/how-to/load-an-api-with-pages.md has others"
    return "until an answer has no link to a next page"


def test_code(name: str, class_name: str, group: str, sample: Sample | None) -> str:
    """Return a test that holds the schema against the first rows of the sample."""
    if sample is None:
        return (
            f'"""Run with `phlo test`."""\n\nimport pandas as pd\n'
            f"from workflows.ingestion.{group}.{name} import {name}\n"
            f"from workflows.schemas.{name} import {class_name}\n\n\n"
            f"def test_a_day_of_{name}_keeps_its_contract():\n"
            f'    assert len({class_name}.validate(pd.DataFrame({name}("2025-01-15")))) == 1\n'
        )
    first_rows = sample.rows[:3]
    rows = "".join(f"    {_plain(row)!r},\n" for row in first_rows)
    return (
        f'"""Run with `phlo test`."""\n\nimport datetime  # noqa: F401 - rows may hold dates\n'
        f"from decimal import Decimal  # noqa: F401\n\nimport pandas as pd\n"
        f"from workflows.schemas.{name} import {class_name}\n\nROWS = [\n{rows}]\n\n\n"
        f"def test_rows_of_{name}_keep_their_contract():\n"
        f"    assert len({class_name}.validate(pd.DataFrame(ROWS))) == {len(first_rows)}\n"
    )


def _plain(row: dict[str, object]) -> dict[str, object]:
    """Return a row with null where a CSV file has an empty cell."""
    return {name: None if value == "" else value for name, value in row.items()}
