"""What rows of the shop must look like."""

from datetime import datetime

import pandera.pandas as pa
from phlo.schemas import PhloSchema


class Orders(PhloSchema):
    """Orders of the shop, one row each. camelCase names of the API become snake_case."""

    order_id: str = pa.Field(unique=True, description="Number of the order.")
    ordered_at: datetime = pa.Field(description="When it was placed.")
    customer_id: str
    status: str = pa.Field(isin=["open", "paid", "cancelled"])
    total_amount: float = pa.Field(ge=0, description="In euros.")
    coupon: str = pa.Field(nullable=True)
