"""What phlo-dlt contributes through phlo's hooks."""
