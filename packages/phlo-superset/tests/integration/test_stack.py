"""The settings and the setup of the stack's Superset, on a real one and PostgreSQL."""

import os
import subprocess

import pytest
from phlo_testing.databases import fresh_database
from phlo_testing.ports import free_ports
from phlo_testing.trino import stack_folder

pytestmark = [
    pytest.mark.superset,
    pytest.mark.integration,
    pytest.mark.xdist_group("superset"),
    pytest.mark.timeout(900),
]


def test_its_user_can_log_in(superset_programs, log_in, postgres_server, tmp_path):
    address, files = fresh_database(postgres_server), stack_folder() / "superset"
    login = f"{address.user}:{address.password.get_secret_value()}"
    place = f"{address.host}:{address.port}/{address.database}"
    environment = {
        "PATH": f"{superset_programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "FLASK_APP": "superset",
        "SUPERSET_CONFIG_PATH": str(files / "superset_config.py"),
        "SUPERSET_SECRET_KEY": "ab" * 32,
        "SUPERSET_DATABASE_URI": f"postgresql+psycopg2://{login}@{place}",
        "SUPERSET_ADMIN_PASSWORD": "cd" * 32,
    }
    for _ in range(2):  # it runs at each `make up`
        subprocess.run(
            ["sh", files / "setup.sh"],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
        )
    (port,) = free_ports(1)
    command = [superset_programs / "gunicorn", "--timeout=120", f"--bind=127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "superset.app:create_app()"], env=environment, stdout=log, stderr=log
        )
        try:
            log_in(f"http://127.0.0.1:{port}", process, tmp_path / "log", "cd" * 32)
        finally:
            process.terminate()
            process.wait(timeout=60)
