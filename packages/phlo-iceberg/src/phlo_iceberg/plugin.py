"""What phlo-iceberg contributes through phlo's hooks."""
