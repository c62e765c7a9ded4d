"""Functions of Trino as macros of DuckDB: made in a connection where a query calls them.

A macro's body names other macros and Python functions with ``@``. All but those that tell otherwise
give null where an argument is null.
"""

from __future__ import annotations

import re

from phlo_iceberg.read.dialect.values import LAMBDA

MACROS = """
integer_quotient(a, b, place) | CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN b = 0 THEN error('DIVISION_BY_ZERO: Division by zero in ' || place) ELSE a // b END
number_remainder(a, b, place) | CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN b = 0 THEN error('DIVISION_BY_ZERO: Division by zero in ' || place) ELSE a % b END
float_remainder(a, b) | CASE WHEN b = 0 THEN a * CAST('NaN' AS DOUBLE) ELSE a % b END
bits_or(a, b) | a | b
within_digits(x, largest) | CASE WHEN abs(x) > largest THEN error('NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow') ELSE x END
array_subscript(a, i) | CASE WHEN a IS NULL THEN NULL WHEN i < 1 THEN error('INVALID_FUNCTION_ARGUMENT: Array subscripts begin with 1, not ' || i) WHEN i > len(a) THEN error('INVALID_FUNCTION_ARGUMENT: Array subscript ' || i || ' is beyond the ' || len(a) || ' elements') ELSE a[i] END
map_subscript(m, k) | CASE WHEN m IS NOT NULL AND k IS NOT NULL AND NOT map_contains(m, k) THEN error('INVALID_FUNCTION_ARGUMENT: Key not present in map: ' || k) ELSE element_at(m, k)[1] END
element_of(a, i) | CASE WHEN a IS NULL THEN NULL WHEN i = 0 THEN error('INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1') ELSE a[i] END
array_concat(a, b) | CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_concat(a, b) END
map_of_arrays(k, v) | CASE WHEN k IS NULL OR v IS NULL THEN NULL WHEN len(k) <> len(v) THEN error('INVALID_FUNCTION_ARGUMENT: Key and value arrays must be the same length') ELSE MAP(k, v) END
map_of_pairs(p) | map_from_entries(list_transform(list_sort(list_distinct(list_transform(p, lambda e: e.k))), lambda k: struct_pack(k := k, v := list_filter(p, lambda e: e.k = k)[1].v)))
multimap_of_pairs(p) | map_from_entries(list_transform(list_sort(list_distinct(list_transform(p, lambda e: e.k))), lambda k: struct_pack(k := k, v := list_transform(list_filter(p, lambda e: e.k = k), lambda e: e.v))))
histogram_of(a) | map_from_entries(list_transform(list_sort(list_distinct(a)), lambda k: struct_pack(k := k, v := CAST(len(list_filter(a, lambda x: x = k)) AS BIGINT))))
map_of_new_keys(p) | CASE WHEN list_count(list_transform(p, lambda e: e.k)) < len(p) THEN error('INVALID_FUNCTION_ARGUMENT: map key cannot be null') WHEN len(list_distinct(list_transform(p, lambda e: e.k))) < len(p) THEN error('INVALID_FUNCTION_ARGUMENT: Duplicate map keys are not allowed') ELSE map_from_entries(p) END
map_from_rows(a) | CASE WHEN len(list_distinct(list_transform(a, lambda e: e.field0))) < len(a) THEN error('INVALID_FUNCTION_ARGUMENT: Duplicate map keys are not allowed') ELSE map_from_entries(list_transform(a, lambda e: struct_pack(k := e.field0, v := e.field1))) END
rows_of_map(m) | list_transform(map_entries(m), lambda e: struct_pack(field0 := e.key, field1 := e.value))
array_distinct(a) | list_transform(list_filter(list_transform(range(1, len(a) + 1), lambda i: struct_pack(i := i, x := a[i])), lambda e: e.i = CASE WHEN e.x IS NULL THEN len(list_filter(range(1, e.i + 1), lambda j: j < e.i AND a[j] IS NULL)) * 0 + list_filter(range(1, len(a) + 1), lambda j: a[j] IS NULL)[1] ELSE list_position(a, e.x) END), lambda e: e.x)
array_position_of(a, x) | CASE WHEN a IS NULL OR x IS NULL THEN NULL ELSE CAST(coalesce(list_position(a, x), 0) AS BIGINT) END
array_remove(a, x) | CASE WHEN x IS NOT NULL THEN list_filter(a, lambda e: e IS NULL OR e <> x) END
array_union(a, b) | @array_distinct(@array_concat(a, b))
array_intersect(a, b) | @array_distinct(CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_filter(a, lambda e: CASE WHEN e IS NULL THEN len(b) > list_count(b) ELSE list_contains(b, e) END) END)
array_except(a, b) | @array_distinct(CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_filter(a, lambda e: CASE WHEN e IS NULL THEN len(b) = list_count(b) ELSE NOT list_contains(b, e) END) END)
array_max(a) | CASE WHEN len(a) = list_count(a) THEN list_max(a) END
array_min(a) | CASE WHEN len(a) = list_count(a) THEN list_min(a) END
array_contains(a, x) | CASE WHEN a IS NULL OR x IS NULL THEN NULL WHEN list_contains(a, x) THEN TRUE WHEN list_count(a) < len(a) THEN NULL ELSE FALSE END
arrays_overlap_of(a, b) | CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN list_has_any(list_filter(a, lambda x: x IS NOT NULL), b) THEN TRUE WHEN (list_count(a) < len(a) AND len(b) > 0) OR (list_count(b) < len(b) AND len(a) > 0) THEN NULL ELSE FALSE END
contains_sequence(a, b) | CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN len(b) = 0 OR len(list_filter(range(1, len(a) - len(b) + 2), lambda i: a[i:i + len(b) - 1] = b)) > 0 END
array_join(a, glue) | CASE WHEN glue IS NOT NULL THEN coalesce(array_to_string(a, glue), CASE WHEN a IS NOT NULL THEN '' END) END
array_join_with(a, glue, other) | array_to_string(list_transform(a, lambda x: coalesce(x, other)), glue)
slice_of(a, i, n) | CASE WHEN a IS NULL OR n IS NULL THEN NULL WHEN i = 0 THEN error('INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1') WHEN n < 0 THEN error('INVALID_FUNCTION_ARGUMENT: length must be greater than or equal to 0') WHEN i > len(a) OR -i > len(a) OR n = 0 THEN a[1:0] WHEN i > 0 THEN a[i:i + n - 1] ELSE a[len(a) + i + 1:len(a) + i + n] END
trim_array(a, n) | CASE WHEN a IS NULL THEN NULL WHEN n < 0 OR n > len(a) THEN error('INVALID_FUNCTION_ARGUMENT: size must not exceed array cardinality') ELSE a[1:len(a) - n] END
repeat_value(x, n) | CASE WHEN n < 0 THEN error('INVALID_FUNCTION_ARGUMENT: count argument of repeat function must be greater than or equal to 0') WHEN n > 10000 THEN error('INVALID_FUNCTION_ARGUMENT: count argument of repeat function must be less than or equal to 10000') ELSE list_transform(range(CAST(n AS BIGINT)), lambda i: x) END
sequence_by(a, b, s) | CASE WHEN s = 0 OR (s > 0 AND a > b) OR (s < 0 AND a < b) THEN error('INVALID_FUNCTION_ARGUMENT: sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start') WHEN (CAST(b AS HUGEINT) - a) // s >= 10000 THEN error('INVALID_FUNCTION_ARGUMENT: result of sequence function must not have more than 10000 entries') ELSE generate_series(a, b, s) END
sequence_of(a, b) | CASE WHEN abs(CAST(b AS HUGEINT) - a) >= 10000 THEN error('INVALID_FUNCTION_ARGUMENT: result of sequence function must not have more than 10000 entries') WHEN a <= b THEN generate_series(a, b) ELSE generate_series(a, b, -1) END
sequence_of_dates(a, b) | @sequence_of_dates_by(a, b, CASE WHEN a <= b THEN 86400000000 ELSE -86400000000 END)
sequence_of_dates_by(a, b, us) | CASE WHEN us % 86400000000 <> 0 THEN error('INVALID_FUNCTION_ARGUMENT: sequence step must be a day interval if start and end values are dates') ELSE list_transform(@sequence_of_times(CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP), us), lambda x: CAST(x AS DATE)) END
sequence_of_times(a, b, us) | CASE WHEN us = 0 OR (us > 0 AND a > b) OR (us < 0 AND a < b) THEN error('INVALID_FUNCTION_ARGUMENT: sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start') WHEN (epoch_us(b) - epoch_us(a)) // us >= 10000 THEN error('INVALID_FUNCTION_ARGUMENT: result of sequence function must not have more than 10000 entries') ELSE generate_series(a, b, to_microseconds(us)) END
ngrams(a, n) | CASE WHEN a IS NULL THEN NULL WHEN n < 1 THEN error('INVALID_FUNCTION_ARGUMENT: N must be positive') WHEN len(a) <= n THEN [a] ELSE list_transform(range(1, len(a) - n + 2), lambda i: a[i:i + n - 1]) END
any_true(a) | CASE WHEN a IS NULL THEN NULL WHEN list_contains(a, TRUE) THEN TRUE WHEN list_count(a) < len(a) THEN NULL ELSE FALSE END
all_true(a) | CASE WHEN a IS NULL THEN NULL WHEN list_contains(a, FALSE) THEN FALSE WHEN list_count(a) < len(a) THEN NULL ELSE TRUE END
percentile_of(a, p) | CASE WHEN p < 0 OR p > 1 THEN error('INVALID_FUNCTION_ARGUMENT: Percentile must be between 0 and 1') ELSE list_sort(a)[least(CAST(floor(p * len(a)) AS BIGINT) + 1, len(a))] END
percentiles_of(a, s) | CASE WHEN a IS NULL OR s IS NULL THEN NULL WHEN list_count(s) < len(s) OR list_min(s) < 0 OR list_max(s) > 1 THEN error('INVALID_FUNCTION_ARGUMENT: Percentiles must be between 0 and 1') ELSE list_transform(s, lambda p: list_sort(a)[least(CAST(floor(p * len(a)) AS BIGINT) + 1, len(a))]) END
move_date(d, us) | CASE WHEN us % 86400000000 <> 0 THEN error('INVALID_FUNCTION_ARGUMENT: Cannot add hour, minutes or seconds to a date') ELSE d + CAST(us // 86400000000 AS INTEGER) END
row_offset(n) | CASE WHEN n IS NULL OR n < 0 THEN error('INVALID_FUNCTION_ARGUMENT: Offset must be at least 0') ELSE n END
row_number_of(n) | CASE WHEN n < 1 THEN error('INVALID_FUNCTION_ARGUMENT: Offset must be at least 1') ELSE n END
whole_units(a, b, n) | CAST((b - a) // n AS BIGINT)
whole_months(a, b, n) | CAST(datesub('month', CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP)) // n AS BIGINT)
round_timestamp(x, n) | make_timestamp(CAST(floor((epoch_us(CAST(x AS TIMESTAMP)) + n // 2) / CAST(n AS DOUBLE)) AS BIGINT) * n)
time_text(x, form, plus) | CASE WHEN x < DATE '0001-01-01' THEN CASE WHEN date_part('year', x) < 0 THEN '-' ELSE '' END || lpad(CAST(abs(date_part('year', x)) AS VARCHAR), 4, '0') || strftime(x, form[3:]) WHEN x >= DATE '10000-01-01' THEN plus || strftime(x, form) ELSE strftime(x, form) END
unix_seconds(x) | epoch_us(CAST(x AS TIMESTAMP)) / 1e6
from_unix_seconds(x) | timezone('UTC', make_timestamp(CAST(round(CASE WHEN isnan(x) THEN 0 ELSE x END * 1000) AS BIGINT) * 1000))
round_half(x) | CASE WHEN x < 0 THEN round(x) ELSE round(x) + 0e0 END
text_to_integer(x, kind) | CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '[+-]?[0-9]{1,18}') THEN CAST(x AS BIGINT) ELSE @parse_integer(x, kind) END
text_to_double(x, kind) | @parse_double(x, kind)
text_to_decimal(x, kind) | @parse_decimal(x, kind)
text_to_uuid(x) | CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}') THEN CAST(x AS UUID) ELSE error('INVALID_CAST_ARGUMENT: Cannot cast value to UUID: ' || x) END
text_to_boolean(x) | CASE WHEN x IS NULL THEN NULL WHEN lower(x) IN ('t', 'true', '1') THEN TRUE WHEN lower(x) IN ('f', 'false', '0') THEN FALSE ELSE error('INVALID_CAST_ARGUMENT: Cannot cast ''' || x || ''' to BOOLEAN') END
text_to_date(x) | CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '[0-9]{4}-[0-9]{2}-[0-9]{2}') THEN CAST(x AS DATE) ELSE @parse_date(x) END
text_to_timestamp(x) | CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '[0-9]{4}-[0-9]{2}-[0-9]{2}( ([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?)?') THEN CAST(x AS TIMESTAMP) ELSE @parse_timestamp(x) END
fits_length(x, n) | CASE WHEN length(x) > n THEN error('INVALID_CAST_ARGUMENT: Value ' || x || ' cannot be represented as varchar(' || n || ')') ELSE x END
whole_number(x, kind) | CASE WHEN isnan(x) OR isinf(x) THEN error('INVALID_CAST_ARGUMENT: Cannot cast double ' || x || ' to ' || kind) ELSE round(x) END
double_to_real(x) | CASE WHEN isnan(x) THEN CAST('NaN' AS REAL) WHEN x >= 3.4028235677973366e38 THEN CAST('Infinity' AS REAL) WHEN x <= -3.4028235677973366e38 THEN CAST('-Infinity' AS REAL) ELSE CAST(x AS REAL) END
sign_double(x) | CASE WHEN isnan(x) OR x = 0 THEN x ELSE CAST(sign(x) AS DOUBLE) END
sqrt_double(x) | CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt(x) END
ln_double(x) | CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE) WHEN x = 0 THEN CAST('-Infinity' AS DOUBLE) ELSE ln(x) END
log10_double(x) | CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE) WHEN x = 0 THEN CAST('-Infinity' AS DOUBLE) ELSE log10(x) END
log_double(b, x) | @ln_double(x) / @ln_double(CAST(b AS DOUBLE))
round_integer(x, d) | CASE WHEN d >= 0 THEN x ELSE @round_whole(CAST(x AS BIGINT), d) END
left_shift(x, n, w) | @shift_left(CAST(x AS BIGINT), n, w)
right_shift(x, n, w) | @shift_right(CAST(x AS BIGINT), n, w)
right_shift_signed(x, n, w) | @shift_right_signed(CAST(x AS BIGINT), n, w)
substring_from(x, i) | CASE WHEN i = 0 OR i > length(x) OR i < -length(x) THEN substring(x, 1, 0) ELSE substring(x, i) END
substring_of(x, i, n) | CASE WHEN n IS NULL THEN NULL WHEN i = 0 OR i > length(x) OR i < -length(x) OR n <= 0 THEN substring(x, 1, 0) WHEN i > 0 THEN substring(x, i, least(n, length(x))) ELSE substring(x, length(x) + i + 1, least(n, length(x))) END
like_pattern(p, e) | CASE WHEN p IS NULL OR e IS NULL THEN NULL WHEN length(e) <> 1 THEN error('INVALID_FUNCTION_ARGUMENT: Escape string must be a single character') WHEN NOT regexp_full_match(p, '(?s)([^' || regexp_escape(e) || ']|' || regexp_escape(e) || '[%_' || regexp_escape(e) || '])*') THEN error('INVALID_FUNCTION_ARGUMENT: Escape character must be followed by %, _ or the escape character itself') ELSE p END
pad_left(x, n, p) | CASE WHEN p = '' THEN error('INVALID_FUNCTION_ARGUMENT: Padding string must not be empty') WHEN n < 0 THEN error('INVALID_FUNCTION_ARGUMENT: Target length must be positive') ELSE lpad(x, CAST(n AS INTEGER), p) END
pad_right(x, n, p) | CASE WHEN p = '' THEN error('INVALID_FUNCTION_ARGUMENT: Padding string must not be empty') WHEN n < 0 THEN error('INVALID_FUNCTION_ARGUMENT: Target length must be positive') ELSE rpad(x, CAST(n AS INTEGER), p) END
split_text(x, d) | CASE WHEN d IS NULL THEN NULL WHEN d = '' THEN error('INVALID_FUNCTION_ARGUMENT: The delimiter may not be the empty string') ELSE string_split(x, d) END
split_part_of(x, d, i) | CASE WHEN i < 1 THEN error('INVALID_FUNCTION_ARGUMENT: Index must be greater than zero') WHEN d = '' THEN CASE WHEN i <= length(x) THEN x[i:i] END ELSE string_split(x, d)[i] END
chr_of(x) | chr(CAST(x AS INTEGER))
from_hex(x) | CASE WHEN length(x) % 2 = 1 THEN error('INVALID_FUNCTION_ARGUMENT: Not a valid base-16 number') ELSE unhex(x) END
"""


def _read() -> dict[str, tuple[str, str]]:
    macros = {}
    for line in MACROS.strip().splitlines():
        head, _, body = line.partition(" | ")
        name, _, parameters = head.partition("(")
        body = _with_own_names(body.replace("\\\\", "\\"))
        macros[name] = (parameters.rstrip(")"), body)
    return macros


def _with_own_names(body: str) -> str:
    """Name parameters of lambdas as no column is named, since DuckDB takes ``e.k`` for a column."""
    for name in set(re.findall(r"lambda (\w+):", body)):
        body = re.sub(rf"(?<![.\w'])\b{name}\b(?! :=|')", f"{LAMBDA}{name}", body)
    return body


BODIES = _read()
"""Parameters and body of each macro, by its name."""
