"""What rows of the sensors must look like."""

from datetime import datetime

import pandera.pandas as pa
from phlo.schemas import PhloSchema


class Readings(PhloSchema):
    """Temperatures, one row for each sensor and moment."""

    sensor: str
    measured_at: datetime
    celsius: float = pa.Field(nullable=True, ge=-80, le=80)
