"""The table of rules for functions: which types a function takes and what it becomes in DuckDB.

In a text for DuckDB ``{0}``, ``{1}``, ... stand for the arguments, ``{*}`` for all of them. A text
that begins with ``@`` calls a macro or a Python function of the connection with the arguments. The
first rule whose types are those of the arguments is taken, else the first to which they are coerced.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo_iceberg.read.dialect.types import Type, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Rule:
    """How one function of Trino is answered.

    Attributes:
        name: The function.
        parameters: Types it takes; the last one may repeat where ``is_variadic``.
        returns: Its type.
        text: The text for DuckDB.
        is_variadic: Whether the last parameter repeats.
        why: What DuckDB's function of that name, or sqlglot's translation, does otherwise.
    """

    name: str
    parameters: tuple[Type, ...]
    returns: Type
    text: str
    is_variadic: bool = False
    why: str = ""


def _read(table: str) -> Iterator[Rule]:
    for line in table.strip().splitlines():
        if not line.strip():
            continue
        signature, text, *why = (part.strip() for part in line.split(" | "))
        head, returns = signature.rsplit("->", 1)
        name, _, parameters = head.strip().partition("(")
        inside = parameters.rstrip()[:-1]
        is_variadic = inside.endswith("...")
        kinds = parse_type(f"x({inside.removesuffix('...')})") if inside else Type("x")
        types = kinds.inside or tuple(Type("bigint") for _ in kinds.numbers)
        yield Rule(name, types, parse_type(returns), text, is_variadic, *why[:1])


SCALARS = """
abs(integral) -> same | abs({0})
abs(decimal) -> same | abs({0})
abs(real) -> real | abs({0})
abs(double) -> double | abs({0})
ceil(integral) -> same | {0}
ceil(real) -> real | ceil({0})
ceil(double) -> double | ceil({0})
ceiling(integral) -> same | {0}
ceiling(real) -> real | ceil({0})
ceiling(double) -> double | ceil({0})
floor(integral) -> same | {0}
floor(real) -> real | floor({0})
floor(double) -> double | floor({0})
round(integral) -> same | {0}
round(real) -> real | round({0})
round(double) -> double | @round_half
round(integral, integer) -> same | CAST(@round_integer({0}, {1}) AS {type})
round(real, integer) -> real | CAST(@round_double(CAST({0} AS DOUBLE), {1}) AS REAL)
round(double, integer) -> double | @round_double
truncate(real) -> real | trunc({0})
truncate(double) -> double | trunc({0})
sign(integral) -> same | CAST(sign({0}) AS BIGINT) | a tinyint in DuckDB
sign(real) -> real | CAST(@sign_double(CAST({0} AS DOUBLE)) AS REAL)
sign(double) -> double | @sign_double | no NaN in DuckDB
sqrt(double) -> double | @sqrt_double | an error for negative numbers in DuckDB
cbrt(double) -> double | @cbrt_double
exp(double) -> double | exp({0})
ln(double) -> double | @ln_double | an error for 0 and less in DuckDB
log2(double) -> double | @log_double(2, {0})
log10(double) -> double | @log10_double
log(double, double) -> double | @log_double
power(double, double) -> double | @power_double
pow(double, double) -> double | @power_double
pi() -> double | pi()
e() -> double | exp(1e0)
nan() -> double | CAST('NaN' AS DOUBLE)
infinity() -> double | CAST('Infinity' AS DOUBLE)
is_nan(real) -> boolean | isnan({0})
is_nan(double) -> boolean | isnan({0})
is_finite(double) -> boolean | isfinite({0})
is_infinite(double) -> boolean | isinf({0})
radians(double) -> double | @radians_double | another last digit in DuckDB
degrees(double) -> double | @degrees_double
sin(double) -> double | @sin_double
cos(double) -> double | @cos_double
tan(double) -> double | @tan_double
asin(double) -> double | @asin_double
acos(double) -> double | @acos_double
atan(double) -> double | @atan_double
atan2(double, double) -> double | @atan2_double
width_bucket(double, double, double, bigint) -> bigint | @width_bucket
width_bucket(double, array(double)) -> bigint | @width_bucket_of
from_base(varchar, bigint) -> bigint | @from_base
to_base(bigint, bigint) -> varchar | @to_base
bitwise_and(bigint, bigint) -> bigint | ({0} & {1})
bitwise_or(bigint, bigint) -> bigint | @bits_or
bitwise_xor(bigint, bigint) -> bigint | xor({0}, {1})
bitwise_not(bigint) -> bigint | (~{0})
bitwise_left_shift(integral, integer) -> same | @left_shift({0}, {1}, {width})
bitwise_right_shift(integral, integer) -> same | @right_shift({0}, {1}, {width})
bitwise_right_shift_arithmetic(integral, integer) -> same | @right_shift_signed({0}, {1}, {width})
bit_count(bigint, bigint) -> bigint | @bit_count_of
parse_data_size(varchar) -> decimal(38,0) | CAST(@parse_data_size AS DECIMAL(38, 0))
length(varchar) -> bigint | CAST(length({0}) AS BIGINT)
length(char) -> bigint | CAST(length({0}) AS BIGINT)
length(varbinary) -> bigint | CAST(octet_length({0}) AS BIGINT)
lower(varchar) -> varchar | lower({0})
lower(char) -> same | lower({0})
upper(varchar) -> varchar | @upper_text
upper(char) -> same | @upper_text
reverse(varchar) -> varchar | @reverse_text | keeps combining marks with their letter in DuckDB
reverse(char) -> same | @reverse_text
reverse(array(T)) -> array(T) | list_reverse({0})
reverse(varbinary) -> varbinary | @reverse_bytes
strpos(varchar, varchar) -> bigint | CAST(instr({0}, {1}) AS BIGINT)
strpos(varchar, varchar, bigint) -> bigint | @nth_position
substr(char, bigint) -> varchar | @substring_from
substr(char, bigint, bigint) -> varchar | @substring_of
substr(varchar, bigint) -> varchar | @substring_from | counts 0 and what lies before the text otherwise in DuckDB
substr(varchar, bigint, bigint) -> varchar | @substring_of
substring(char, bigint) -> varchar | @substring_from
substring(char, bigint, bigint) -> varchar | @substring_of
substring(varchar, bigint) -> varchar | @substring_from
substring(varchar, bigint, bigint) -> varchar | @substring_of
substr(varbinary, bigint) -> varbinary | @bytes_from
substr(varbinary, bigint, bigint) -> varbinary | @bytes_of
lpad(varchar, bigint, varchar) -> varchar | @pad_left
rpad(varchar, bigint, varchar) -> varchar | @pad_right
lpad(varbinary, bigint, varbinary) -> varbinary | @pad_bytes_left
rpad(varbinary, bigint, varbinary) -> varbinary | @pad_bytes_right
trim(char) -> varchar | @trim_text
trim(varchar) -> varchar | @trim_text | takes other spaces off in DuckDB
ltrim(char) -> varchar | @trim_text
ltrim(varchar) -> varchar | @ltrim_text
rtrim(char) -> varchar | @rtrim_text
rtrim(varchar) -> varchar | @rtrim_text
trim(varchar, varchar) -> varchar | trim({0}, {1})
ltrim(varchar, varchar) -> varchar | ltrim({0}, {1})
rtrim(varchar, varchar) -> varchar | rtrim({0}, {1})
replace(varchar, varchar) -> varchar | @replace_text({0}, {1}, '')
replace(varchar, varchar, varchar) -> varchar | @replace_text
translate(varchar, varchar, varchar) -> varchar | translate({0}, {1}, {2})
split(varchar, varchar) -> array(varchar) | @split_text
split(varchar, varchar, bigint) -> array(varchar) | @split_limited | has no limit in DuckDB
split_part(varchar, varchar, bigint) -> varchar | @split_part_of | empty past the end in DuckDB
split_to_map(varchar, varchar, varchar) -> map(varchar, varchar) | @split_to_map
split_to_multimap(varchar, varchar, varchar) -> map(varchar, array(varchar)) | @split_to_multimap
concat_ws(varchar, varchar...) -> varchar | concat_ws({*})
concat_ws(varchar, array(varchar)) -> varchar | @array_join({1}, {0})
starts_with(varchar, varchar) -> boolean | starts_with({0}, {1})
chr(bigint) -> varchar | @chr_of
levenshtein_distance(varchar, varchar) -> bigint | @levenshtein_of
hamming_distance(varchar, varchar) -> bigint | @hamming_of
soundex(varchar) -> varchar | @soundex
luhn_check(varchar) -> boolean | @luhn_check
normalize(varchar, varchar) -> varchar | @normalize_text
to_utf8(varchar) -> varbinary | encode({0})
from_utf8(varbinary) -> varchar | @from_utf8
from_utf8(varbinary, varchar) -> varchar | @from_utf8_with
from_utf8(varbinary, bigint) -> varchar | @from_utf8_with({0}, @chr_of({1}))
to_hex(varbinary) -> varchar | hex({0})
from_hex(varchar) -> varbinary | @from_hex
to_base64(varbinary) -> varchar | base64({0})
from_base64(varchar) -> varbinary | @from_base64
to_base64url(varbinary) -> varchar | @to_base64url
from_base64url(varchar) -> varbinary | @from_base64url
md5(varbinary) -> varbinary | unhex(md5({0}))
sha1(varbinary) -> varbinary | unhex(sha1({0}))
sha256(varbinary) -> varbinary | unhex(sha256({0}))
sha512(varbinary) -> varbinary | @sha512
crc32(varbinary) -> bigint | @crc32
phlo_hash(varchar) -> bigint | hash({0}) | phlo's own, for checksums: DuckDB has no fast xxhash64
xxhash64(varbinary) -> varbinary | @xxhash64
hmac_md5(varbinary, varbinary) -> varbinary | @hmac_md5
hmac_sha1(varbinary, varbinary) -> varbinary | @hmac_sha1
hmac_sha256(varbinary, varbinary) -> varbinary | @hmac_sha256
hmac_sha512(varbinary, varbinary) -> varbinary | @hmac_sha512
to_big_endian_64(bigint) -> varbinary | @to_big_endian_64
from_big_endian_64(varbinary) -> bigint | @from_big_endian_64
to_big_endian_32(integer) -> varbinary | @to_big_endian_32
from_big_endian_32(varbinary) -> integer | @from_big_endian_32
url_encode(varchar) -> varchar | @url_encode
url_decode(varchar) -> varchar | @url_decode
url_extract_host(varchar) -> varchar | @url_extract_host
url_extract_path(varchar) -> varchar | @url_extract_path
url_extract_port(varchar) -> bigint | @url_extract_port
url_extract_protocol(varchar) -> varchar | @url_extract_protocol
url_extract_query(varchar) -> varchar | @url_extract_query
url_extract_fragment(varchar) -> varchar | @url_extract_fragment
url_extract_parameter(varchar, varchar) -> varchar | @url_extract_parameter
regexp_like(varchar, varchar) -> boolean | @regexp_like
regexp_extract(varchar, varchar) -> varchar | @regexp_extract | empty without a match in DuckDB
regexp_extract(varchar, varchar, bigint) -> varchar | @regexp_extract_group
regexp_extract_all(varchar, varchar) -> array(varchar) | @regexp_extract_every
regexp_extract_all(varchar, varchar, bigint) -> array(varchar) | @regexp_extract_every_group
regexp_replace(varchar, varchar) -> varchar | @regexp_replace_all({0}, {1}, '')
regexp_replace(varchar, varchar, varchar) -> varchar | @regexp_replace_all | groups are $1, and \\1 in DuckDB
regexp_count(varchar, varchar) -> bigint | @regexp_count
regexp_position(varchar, varchar) -> integer | @regexp_position
regexp_split(varchar, varchar) -> array(varchar) | @regexp_split
json_parse(varchar) -> json | @json_parse
json_format(json) -> varchar | {0}
json_extract(json, varchar) -> json | @json_extract
json_extract(varchar, varchar) -> json | @json_extract
json_extract_scalar(json, varchar) -> varchar | @json_extract_scalar | text of objects and arrays in DuckDB
json_extract_scalar(varchar, varchar) -> varchar | @json_extract_scalar
json_array_length(json) -> bigint | @json_array_length_of
json_array_length(varchar) -> bigint | @json_array_length_of
json_size(json, varchar) -> bigint | @json_size
json_size(varchar, varchar) -> bigint | @json_size
json_array_contains(varchar, bigint) -> boolean | @json_array_contains_number
json_array_contains(json, bigint) -> boolean | @json_array_contains_number
json_array_contains(varchar, varchar) -> boolean | @json_array_contains_text
json_array_contains(json, varchar) -> boolean | @json_array_contains_text
json_array_contains(varchar, boolean) -> boolean | @json_array_contains_boolean
json_array_contains(json, boolean) -> boolean | @json_array_contains_boolean
json_array_get(varchar, bigint) -> json | @json_array_get
json_array_get(json, bigint) -> json | @json_array_get
is_json_scalar(varchar) -> boolean | @is_json_scalar
is_json_scalar(json) -> boolean | @is_json_scalar
json_exists(varchar, varchar) -> boolean | @json_exists
date(date) -> date | {0}
last_day_of_month(date) -> date | last_day({0})
last_day_of_month(timestamp) -> date | last_day({0})
to_unixtime(timestamp) -> double | @unix_seconds
to_unixtime(timestamptz) -> double | @unix_seconds(timezone('UTC', {0}))
from_unixtime(double) -> timestamptz(3) | @from_unix_seconds
from_iso8601_date(varchar) -> date | @from_iso8601_date
date_parse(varchar, varchar) -> timestamp(3) | @date_parse
human_readable_seconds(double) -> varchar | @human_readable_seconds
to_milliseconds(interval day to second) -> bigint | (epoch_us({0}) // 1000)
current_timezone() -> varchar | 'UTC'
version() -> varchar | '476'
uuid() -> uuid | uuid()
random() -> double | random()
rand() -> double | random()
cardinality(array(T)) -> bigint | CAST(len({0}) AS BIGINT)
cardinality(map(K, V)) -> bigint | CAST(cardinality({0}) AS BIGINT)
array_distinct(array(T)) -> array(T) | @array_distinct | drops nulls in DuckDB
array_position(array(T), T) -> bigint | @array_position_of | null without a match in DuckDB
array_remove(array(T), T) -> array(T) | @array_remove
array_union(array(T), array(T)) -> array(T) | @array_union
array_intersect(array(T), array(T)) -> array(T) | @array_intersect
array_except(array(T), array(T)) -> array(T) | @array_except
array_max(array(T)) -> T | @array_max | passes over nulls in DuckDB
array_min(array(T)) -> T | @array_min
array_sort(array(T)) -> array(T) | list_sort({0}, 'ASC', 'NULLS LAST')
array_join(array(T), varchar) -> varchar | @array_join({texts}, {1})
array_join(array(T), varchar, varchar) -> varchar | @array_join_with({texts}, {1}, {2})
arrays_overlap(array(T), array(T)) -> boolean | @arrays_overlap_of
contains(array(T), T) -> boolean | @array_contains | false for a value that may be the null in DuckDB
contains_sequence(array(T), array(T)) -> boolean | @contains_sequence
element_at(array(T), bigint) -> T | @element_of
element_at(map(K, V), K) -> V | element_at({0}, {1})[1]
flatten(array(array(T))) -> array(T) | flatten({0})
slice(array(T), bigint, bigint) -> array(T) | @slice_of
trim_array(array(T), bigint) -> array(T) | @trim_array
repeat(T, bigint) -> array(T) | @repeat_value | repeats text in DuckDB
sequence(bigint, bigint) -> array(bigint) | @sequence_of
sequence(bigint, bigint, bigint) -> array(bigint) | @sequence_by
sequence(date, date) -> array(date) | @sequence_of_dates
sequence(date, date, interval day to second) -> array(date) | @sequence_of_dates_by({0}, {1}, epoch_us({2}))
sequence(timestamp, timestamp, interval day to second) -> array(timestamp) | @sequence_of_times({0}, {1}, epoch_us({2}))
ngrams(array(T), bigint) -> array(array(T)) | @ngrams
map_keys(map(K, V)) -> array(K) | map_keys({0})
map_values(map(K, V)) -> array(V) | map_values({0})
map_from_entries(array(row(K, V))) -> map(K, V) | @map_from_rows
map_entries(map(K, V)) -> array(row(K, V)) | @rows_of_map
"""

AGGREGATES = """
count(T) -> bigint | count({0})
bool_and(boolean) -> boolean | bool_and({0})
bool_or(boolean) -> boolean | bool_or({0})
every(boolean) -> boolean | bool_and({0})
bitwise_and_agg(bigint) -> bigint | bit_and({0})
bitwise_or_agg(bigint) -> bigint | bit_or({0})
bitwise_xor_agg(bigint) -> bigint | bit_xor({0})
approx_distinct(T) -> bigint | approx_count_distinct({0}) | both estimate; the estimates differ
"""

WINDOWS = """
row_number() -> bigint | row_number()
rank() -> bigint | rank()
dense_rank() -> bigint | dense_rank()
percent_rank() -> double | percent_rank()
cume_dist() -> double | cume_dist()
ntile(bigint) -> bigint | ntile({0})
first_value(T) -> T | first_value({0})
last_value(T) -> T | last_value({0})
nth_value(T, bigint) -> T | nth_value({0}, @row_number_of({1}))
lag(T) -> T | lag({0})
lag(T, bigint) -> T | lag({0}, @row_offset({1}))
lag(T, bigint, T) -> T | lag({0}, @row_offset({1}), {2})
lead(T) -> T | lead({0})
lead(T, bigint) -> T | lead({0}, @row_offset({1}))
lead(T, bigint, T) -> T | lead({0}, @row_offset({1}), {2})
"""


def _by_name(*tables: str) -> dict[str, list[Rule]]:
    rules: dict[str, list[Rule]] = defaultdict(list)
    for table in tables:
        for rule in _read(table):
            rules[rule.name].append(rule)
    return dict(rules)


RULES = _by_name(SCALARS)
AGGREGATE_RULES = _by_name(AGGREGATES)
WINDOW_RULES = _by_name(WINDOWS)


MAY_DIFFER = {
    "approx_distinct": "Both engines estimate; the estimates differ by some percent.",
    "approx_percentile": "It is exact in DuckDB, and estimated in Trino where rows are many.",
    **dict.fromkeys(("random", "rand", "uuid"), "Its value is another one each time."),
    **dict.fromkeys(("any_value", "arbitrary"), "Each engine takes the value of another row."),
}
"""Functions that the two engines may answer differently."""

WITHOUT_ORDER = {
    "array_agg": "Its elements have no order.",
    "multimap_agg": "The values of a key have no order.",
    "map_agg": "Of several values for a key any one is taken.",
    "LIMIT": "Any of the rows are taken.",
    "OFFSET": "Any of the rows are passed over.",
    **dict.fromkeys(
        ("row_number", "ntile", "first_value", "last_value", "nth_value"),
        "Rows are numbered in no order.",
    ),
}
"""What depends on the order of rows, and may differ where no ORDER BY gives one."""

TABLESAMPLE = "Each engine draws other rows, and others each time."

DIFFERENT_IN_DUCKDB = {
    "/": "Whole numbers and decimals divide to a double in DuckDB; Trino keeps their type.",
    "count_if": "Null over no rows in DuckDB, 0 in Trino.",
    "date_diff": "DuckDB counts the boundaries crossed, Trino whole units.",
    "datediff": "DuckDB counts the boundaries crossed, Trino whole units (date_diff).",
    "date_trunc": "A timestamp of a date in DuckDB; Trino gives a date.",
    "date_add": "A timestamp of a date in DuckDB; Trino gives a date.",
    "avg": "A double of decimals in DuckDB; Trino gives a decimal of the same scale.",
    "max_by": "DuckDB passes over nulls at the maximum.",
    "min_by": "DuckDB passes over nulls at the minimum.",
    "regexp_replace": "Only the first match in DuckDB, whose groups are \\1; all in Trino, $1.",
    **{
        name: f"{rule.why[0].upper()}{rule.why[1:]}."
        for name, rules in RULES.items()
        for rule in rules
        if rule.why and name not in ("phlo_hash", "regexp_replace")
    },
}
"""Functions and operators of DuckDB's own dialect that Trino answers otherwise."""

NOT_IN_TRINO = {
    "::": "Write CAST(... AS ...).",
    "//": "Write / between whole numbers.",
    "qualify": "Filter a subquery that has the window function.",
    "ilike": "Write lower(...) LIKE lower(...).",
    "exclude": "Name the columns.",
    "strftime": "Write date_format.",
    "strptime": "Write date_parse.",
    "epoch": "Write to_unixtime.",
    "list_value": "Write ARRAY[...].",
    "string_agg": "Write LISTAGG(...) WITHIN GROUP (ORDER BY ...).",
}
"""What Trino does not know, with what it knows."""
