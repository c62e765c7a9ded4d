"""What rows of the shop must look like."""

from datetime import datetime

import pandera.pandas as pa
from phlo.schemas import PhloSchema


class Customers(PhloSchema):
    """Customers of the shop."""

    customer_id: str = pa.Field(unique=True)
    name: str
    country: str = pa.Field(str_length=2)


class Orders(PhloSchema):
    """Orders of the shop, one row each."""

    order_id: str = pa.Field(unique=True)
    customer_id: str
    ordered_at: datetime
    status: str = pa.Field(isin=["open", "paid", "cancelled"])
    amount: float = pa.Field(ge=0, description="In euros.")
