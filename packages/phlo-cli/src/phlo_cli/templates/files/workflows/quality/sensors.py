"""What the table of readings must look like before anybody sees a load."""

from phlo_quality import CountCheck, UniqueCheck, phlo_quality


@phlo_quality(
    table="bronze.readings",
    checks=[CountCheck(min_count=1), UniqueCheck(columns=["sensor", "measured_at"])],
)
def readings_quality():
    """There are readings, one for each sensor and moment."""
