"""Make the bucket of the lake and the tables of its catalog, where they are missing."""

import os
import subprocess
from urllib.parse import urlparse

from pyarrow.fs import FileType, S3FileSystem

endpoint = urlparse(os.environ["PHLO_ICEBERG_S3_ENDPOINT"])
bucket = urlparse(os.environ["PHLO_ICEBERG_WAREHOUSE"]).netloc
store = S3FileSystem(
    access_key=os.environ["PHLO_ICEBERG_S3_ACCESS_KEY_ID"],
    secret_key=os.environ["PHLO_ICEBERG_S3_SECRET_ACCESS_KEY"],
    region=os.environ["PHLO_ICEBERG_S3_REGION"],
    endpoint_override=endpoint.netloc,
    scheme=endpoint.scheme,
    allow_bucket_creation=True,
)
if store.get_file_info(bucket).type == FileType.NotFound:
    store.create_dir(bucket)
# Trino expects the tables of the catalog and does not make them; phlo does when it opens it.
subprocess.run(["phlo", "catalog", "tables"], check=True)
