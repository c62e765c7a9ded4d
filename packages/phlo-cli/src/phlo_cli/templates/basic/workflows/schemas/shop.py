"""What rows of the shop must look like."""

from datetime import datetime

import pandera.pandas as pa
from phlo_quality.schemas import PhloSchema


class Orders(PhloSchema):
    """Orders of the shop, one row each."""

    id: str = pa.Field(unique=True, description="Number of the order.")
    ordered_at: datetime = pa.Field(description="When it was placed.")
    status: str = pa.Field(isin=["open", "paid", "cancelled"])
    amount: float = pa.Field(ge=0, description="In euros.")
