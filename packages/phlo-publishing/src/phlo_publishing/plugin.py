"""What phlo-publishing contributes through phlo's hooks."""
