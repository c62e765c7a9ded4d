"""The phlo command line."""
