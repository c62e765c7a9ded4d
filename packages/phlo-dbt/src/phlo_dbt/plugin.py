"""What phlo-dbt contributes through phlo's hooks."""
