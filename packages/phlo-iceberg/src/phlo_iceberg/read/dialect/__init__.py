"""Trino's SQL over DuckDB: the same values and the same errors, or a refusal before anything runs.

A query is parsed by sqlglot (`parser`), every part of it is given its type in Trino (`types`,
`queries`, `expressions`) and written for DuckDB by the rule for those types (`rules`, `functions`,
`casts`, `arithmetic`). What DuckDB lacks is made in the connection where a query calls it: as a
macro (`macros`) or a Python function (`python_functions`). What has no rule is refused by name.
"""
