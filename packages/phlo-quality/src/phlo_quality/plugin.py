"""What phlo-quality contributes through phlo's hooks."""
