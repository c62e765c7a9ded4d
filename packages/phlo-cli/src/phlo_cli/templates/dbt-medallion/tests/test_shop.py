"""Run with `phlo test`, or with pytest in the project's folder."""

import pandas as pd
from workflows.ingestion.shop.tables import FOLDER
from workflows.schemas.shop import Customers, Orders


def test_the_files_keep_their_contracts():
    assert len(Customers.validate(pd.read_csv(FOLDER / "customers.csv"))) == 3
    assert len(Orders.validate(pd.read_csv(FOLDER / "orders.csv"))) == 5
