"""Testing tools for phlo: a pytest plugin and conformance suites."""
