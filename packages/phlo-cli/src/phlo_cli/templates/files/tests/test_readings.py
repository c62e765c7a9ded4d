"""Run with `phlo test`, or with pytest in the project's folder."""

import pandas as pd
from workflows.ingestion.sensors.readings import FOLDER
from workflows.schemas.sensors import Readings


def test_every_file_keeps_the_contract():
    for file in sorted(FOLDER.glob("*.csv")):
        assert len(Readings.validate(pd.read_csv(file, sep=";"))) == 2
