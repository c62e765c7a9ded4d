"""Every type through every lane: a value arrives exactly, or its row is invalid.

The oracle computes with exact Python numbers and knows nothing of Arrow. ``make test-values`` runs
at least 100,000 values; ``make test`` a small part. A run prints its seed, and PHLO_VALUES_SEED
repeats it.
"""

import itertools
import json
import math
import os
import random
import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.common.storages.fsspec_filesystem import FileItemDict
from dlt.sources.filesystem import filesystem
from dlt.sources.rest_api import rest_api_source
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pandera.engines import pandas_engine
from phlo.contract import Contract
from phlo_dlt.dlt_private import watch_absent_selectors
from phlo_dlt.rows.batches import batches_of
from phlo_dlt.rows.conformer import PROBLEMS, Conformer

VALUES = int(os.environ.get("PHLO_VALUES", "1500"))
SEED = int(os.environ.get("PHLO_VALUES_SEED", random.SystemRandom().randrange(2**32)))
BATCH = 25
REFUSED = "refused"


@dataclass(frozen=True)
class Kind:
    """A contract type: its annotation, what it is given, and what must become of that."""

    annotation: Any
    arrow: pa.DataType
    values: st.SearchStrategy
    expected: Any
    of_class: tuple[type, ...]


def whole(lowest, highest):
    def expected(value):
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return REFUSED
        if not math.isfinite(value) or Fraction(value).denominator != 1:
            return REFUSED
        return int(value) if lowest <= value <= highest else REFUSED

    return expected


def nearest(narrow):
    def expected(value):
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return REFUSED
        if isinstance(value, float) and not math.isfinite(value):
            return value
        try:
            with np.errstate(over="ignore"):
                result = float(narrow(float(Fraction(value))))
        except OverflowError:
            return REFUSED
        exact = Fraction(value)
        if math.isinf(result):
            return REFUSED
        if exact == 0 and str(value).startswith("-"):
            return -0.0
        is_approximate = (isinstance(value, float) and abs(value) >= 2**53) or (
            isinstance(value, Decimal) and value.as_tuple().exponent > 0  # as 1E+23 is written
        )
        is_meant_whole = exact.denominator == 1 and not is_approximate
        return REFUSED if is_meant_whole and Fraction(result) != exact else result

    return expected


def places(precision, scale):
    def expected(value):
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return REFUSED
        if not math.isfinite(value):
            return REFUSED
        exact = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
        digits = exact * 10**scale
        if digits.denominator != 1 or abs(digits) >= 10**precision:
            return REFUSED
        sign = "-" if digits < 0 else ""
        return Decimal(f"{sign}{abs(digits.numerator)}e-{scale}")

    return expected


def moment(value):
    if isinstance(value, str) or not isinstance(value, date):
        return REFUSED
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if getattr(value, "nanosecond", 0):
        return REFUSED
    try:
        offset = value.utcoffset() or timedelta()
        return value.replace(tzinfo=UTC, fold=0) - offset
    except OverflowError:
        return REFUSED


def only(*classes):
    def expected(value):
        is_one = isinstance(value, classes) and (bool in classes or not isinstance(value, bool))
        return value if is_one else REFUSED

    return expected


def nested(value):
    return value if isinstance(value, list) else REFUSED


def day(value):
    if isinstance(value, datetime):
        return value.date() if value.time() == time() else REFUSED
    return value if isinstance(value, date) else REFUSED


ZONES = [UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=14)), ZoneInfo("Europe/Oslo")]
INTEGERS = st.integers(-(2**66), 2**66) | st.sampled_from(
    [
        s * 2**n + d
        for n in (7, 8, 15, 16, 24, 31, 32, 53, 63, 64)
        for s in (1, -1)
        for d in (-1, 0, 1)
    ]
)
FLOATS = st.floats() | st.sampled_from([0.1, -0.0, 5e-324, 1e300, 16777217.0, 2.0**53, 1e22])
DECIMALS = (
    st.decimals(allow_nan=False, allow_infinity=False, places=2)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**28), max_value=10**28)
    | st.builds(  # more digits, and a point further off, than Arrow can count
        lambda digits, zeros, last, place: (digits * 10**zeros + last) * Decimal(f"1E{place}"),
        st.integers(-999, 999),
        st.integers(0, 24),
        st.integers(0, 9),
        st.integers(-120, 40),
    )
)
NUMBERS = INTEGERS | FLOATS | DECIMALS | st.booleans()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MOMENTS = (
    st.datetimes(timezones=st.sampled_from(ZONES) | st.none())
    | st.sampled_from([datetime.min, datetime.max, datetime.max.replace(tzinfo=ZONES[1])])
    | st.dates()
    | st.integers(0, 10**18).map(lambda n: pd.Timestamp(n, unit="ns", tz="UTC"))
)
DATES = st.dates() | st.datetimes() | st.dates().map(lambda d: datetime(d.year, d.month, d.day))
LISTS = st.lists(st.integers(-(2**70), 2**70) | TEXT | st.none() | st.booleans(), max_size=4)


def integer_kind(annotation, arrow, lowest, highest):
    return Kind(annotation, arrow, NUMBERS, whole(lowest, highest), (int,))


def decimal_kind(precision, scale):
    annotation = Annotated[pandas_engine.Decimal, precision, scale, None]
    arrow = pa.decimal128(precision, scale)
    return Kind(annotation, arrow, NUMBERS, places(precision, scale), (Decimal,))


KINDS = {
    "int64": integer_kind(int, pa.int64(), -(2**63), 2**63 - 1),
    "int32": integer_kind(np.int32, pa.int32(), -(2**31), 2**31 - 1),
    "int8": integer_kind(np.int8, pa.int8(), -128, 127),
    "uint8": integer_kind(np.uint8, pa.uint8(), 0, 255),
    "uint32": integer_kind(pd.UInt32Dtype, pa.uint32(), 0, 2**32 - 1),
    "uint64": integer_kind(np.uint64, pa.uint64(), 0, 2**63 - 1),
    "float64": Kind(float, pa.float64(), NUMBERS, nearest(float), (float,)),
    "float32": Kind(np.float32, pa.float64(), NUMBERS, nearest(np.float32), (float,)),
    "decimal(38,10)": decimal_kind(38, 10),
    "decimal(10,2)": decimal_kind(10, 2),
    "bool": Kind(bool, pa.bool_(), st.booleans() | INTEGERS, only(bool), (bool,)),
    "str": Kind(str, pa.string(), TEXT | st.binary(max_size=2), only(str), (str,)),
    "bytes": Kind(bytes, pa.binary(), TEXT | st.binary(max_size=8), only(bytes), (bytes,)),
    "datetime": Kind(datetime, pa.timestamp("us", "UTC"), MOMENTS, moment, (datetime,)),
    "date": Kind(date, pa.date32(), DATES, day, (date,)),
    "time": Kind(
        Annotated[pd.ArrowDtype, pa.time64("us")],
        pa.time64("us"),
        st.times().map(lambda t: t.replace(fold=0)) | INTEGERS,
        only(time),
        (time,),
    ),
    "list": Kind(list, pa.string(), LISTS | TEXT.map(lambda t: "x" + t), nested, (list,)),
}


def contract_of(annotation):
    namespace = {"__annotations__": {"value": annotation}, "value": pandera.Field(nullable=True)}
    return Contract.of(type("Model", (pandera.DataFrameModel,), namespace))


CONTRACTS = {name: contract_of(kind.annotation) for name, kind in KINDS.items()}


def conform(item, name):
    """What becomes of each value of an item."""
    outcome = []
    for table in batches_of(item, Conformer(CONTRACTS[name])):
        problems = table[PROBLEMS].to_pylist()
        values = table["c0"].to_pylist()
        if name == "list":
            values = [None if v is None else json.loads(v) for v in values]
        outcome += [v if p is None else REFUSED for v, p in zip(values, problems, strict=True)]
    return outcome


def check(name, lane, values, outcome, *, nan_is_null=True):
    """Compare with the oracle; NaN and -0.0 count, so that values are compared by their text."""
    assert len(outcome) == len(values)
    for value, got in zip(values, outcome, strict=True):
        expected = None if value is None else KINDS[name].expected(value)
        if isinstance(expected, float) and math.isnan(expected) and nan_is_null:
            expected = None
        if isinstance(value, float) and math.isnan(value) and expected == REFUSED:
            expected = None
        assert spell(got) == spell(expected), f"{name} by {lane}: {value!r} among {values!r}"


def spell(value):
    is_moment = isinstance(value, datetime)
    return value.astimezone(UTC).isoformat() if is_moment else repr(value)


def held(name, values):
    """The values that Arrow's own type takes as they are."""
    kind = KINDS[name]
    kept = []
    for value in values:
        if value is not None and type(value) not in kind.of_class:
            continue
        expected = None if value is None else kind.expected(value)
        if isinstance(expected, str) and expected == REFUSED:
            continue
        kept.append(expected)
    return kept


def listed(path):
    """The file as dlt's ``filesystem`` lists it."""
    (item,) = filesystem(path.parent.as_uri(), file_glob=path.name)
    assert isinstance(item, FileItemDict)
    return item


def csv_cell(value):
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, date | time) else str(value)
    text = json.dumps(value) if isinstance(value, list | bool) else text
    return '"' + text.replace('"', '""') + '"'


class Answers:
    """A server whose answer is the rows of one batch, as dlt's ``rest_api`` reads it."""

    def __init__(self):
        self.body = b"[]"
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answers.body)))
                self.end_headers()
                self.wfile.write(answers.body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, rows):
        """Rows as the source yields them."""
        self.body = f"[{', '.join(rows)}]".encode()
        source = rest_api_source(
            {
                "client": {
                    "base_url": f"http://127.0.0.1:{self.server.server_port}",
                    "paginator": "single_page",
                },
                "resources": ["rows"],
            }
        )
        with watch_absent_selectors():
            return list(source)


@pytest.fixture(scope="module")
def answers():
    served = Answers()
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("values")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # requests leaves sockets to the collector
@pytest.mark.parametrize("name", KINDS)
def test_values_of_every_type_arrive_exactly_through_every_lane(name, folder, answers):
    print(f"PHLO_VALUES_SEED={SEED}")
    batches = max(1, VALUES // len(KINDS) // BATCH)
    numbers = itertools.count()

    @seed(SEED)
    @settings(max_examples=batches, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(st.lists(st.none() | KINDS[name].values, min_size=BATCH, max_size=BATCH))
    def run(values):
        by_rows(name, values)
        by_frames(name, values)
        by_arrow(name, held(name, values), folder)
        by_text(name, held(name, values), folder)
        if next(numbers) % 10 == 0:  # a request takes as long as ten batches
            by_answers(name, held(name, values), answers)

    run()


def by_rows(name, values):
    check(name, "rows", values, conform([{"value": v} for v in values], name))
    for value in values[:5]:
        check(name, "one row", [value], conform({"value": value}, name))


def by_frames(name, values):
    frame = pd.DataFrame({"value": pd.Series(values, dtype=object)})
    check(name, "records of a frame", values, conform(frame.to_dict("records"), name))


def by_arrow(name, values, folder):
    arrow = KINDS[name].arrow
    table = pa.table({"value": pa.array(map_lists(name, values), arrow, from_pandas=False)})
    lanes = {
        "arrow": table,
        "batch": table.to_batches()[0] if values else table,
        "chunks": pa.concat_tables([table.slice(0, 3), table.slice(3)]),
        "pandas of pyarrow": table.to_pandas(types_mapper=pd.ArrowDtype),
        "nullable pandas": table.to_pandas(types_mapper=NULLABLE.get),
        "numpy records": table.to_pandas(types_mapper=NULLABLE.get).to_dict("records"),
    }
    if name not in ("time", "decimal(38,10)") and values:
        lanes["polars"] = pl.from_arrow(table)
    pq.write_table(table, folder / "a.parquet")
    lanes["parquet"] = listed(folder / "a.parquet")
    for lane, item in lanes.items():
        if len(values) or lane != "batch":
            has_one_null = lane in ("nullable pandas", "numpy records")  # pandas takes NaN for it
            check(name, lane, values, conform(item, name), nan_is_null=has_one_null)


def map_lists(name, values):
    return (
        [json.dumps(v) if isinstance(v, list) else v for v in values] if name == "list" else values
    )


def by_text(name, values, folder):
    text = "value,other\n" + "".join(f"{csv_cell(v)},x\n" for v in values)
    (folder / "a.csv").write_text(text, encoding="utf-8", newline="")
    check_text(name, "csv", values, conform(listed(folder / "a.csv"), name))
    lines = "".join(f"{line}\n" for line in json_rows(values))
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    check_text(name, "jsonl", finite(values), conform(listed(folder / "a.jsonl"), name))


def by_answers(name, values, answers):
    check_text(name, "rest_api", finite(values), conform(answers.ask(json_rows(values)), name))


def check_text(name, lane, values, outcome):
    """Text has no bytes: a column of bytes takes none of it."""
    if name == "bytes":
        assert outcome == [None if v is None else REFUSED for v in values]
    else:
        check(name, lane, values, outcome)


def finite(values):
    return [v for v in values if not isinstance(v, float) or math.isfinite(v)]


def json_rows(values):
    return [f'{{"value": {json_text(v)}}}' for v in finite(values)]


def json_text(value):
    if isinstance(value, date | time):
        return json.dumps(value.isoformat())
    if isinstance(value, bytes):
        return json.dumps(value.decode("latin-1"))
    if isinstance(value, Decimal):
        return str(value).replace("E+", "E")
    return json.dumps(value)


NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int8(): pd.Int8Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}


NEIGHBOURS = [
    None, True, 0, -1, 2**53 + 1, 2**64, 0.5, math.nan, math.inf, Decimal("1.10"), Decimal("1E+2"),
    Decimal("sNaN"), Decimal("12345678901234567890123456789.1"), "", "a", " 1 ", "1_0", "0x1F",
    "2024-01-01", "2024-01-01T12:00:00-05:00", "9999-12-31T23:59:59-05:00", b"a", bytearray(b"x"),
    date(9999, 12, 31), datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=ZONES[1]), time(12),
    time(12, tzinfo=UTC), timedelta(1), pd.Timestamp("2024-01-01T00:00:00.123456789"), pd.NaT,
    pd.NA,
    np.int64(5), np.float32(0.1), np.bool_(True), np.datetime64("2024-01-01", "ns"),
    np.timedelta64(5, "s"), np.array(["x"]), [1], {"a": 1}, {1},
    np.datetime64("20240-01-01"), np.datetime64(2**62, "D"), np.timedelta64(2**62, "D"),
    {1: "a", "1": "b"},
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_the_fate_of_a_value_does_not_depend_on_its_neighbour(name):
    alone = {i: repr(conform([{"value": v}], name)) for i, v in enumerate(NEIGHBOURS)}
    pairs = itertools.product(range(len(NEIGHBOURS)), repeat=2)
    step = 1 if VALUES >= 100_000 else 7
    for first, second in itertools.islice(pairs, 0, None, step):
        rows = [{"value": NEIGHBOURS[first]}, {"value": NEIGHBOURS[second]}]
        got = [repr([outcome]) for outcome in conform(rows, name)]
        assert got == [alone[first], alone[second]], (NEIGHBOURS[first], NEIGHBOURS[second])
