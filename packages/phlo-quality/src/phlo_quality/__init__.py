"""Quality checks for phlo: @phlo_quality and what runs in its suites."""
