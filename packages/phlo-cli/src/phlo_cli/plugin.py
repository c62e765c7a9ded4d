"""What phlo-cli contributes through phlo's hooks."""
