"""The stack that `phlo new stack` writes: its files, and their services as processes.

No container runs here. The compose file is held to its published schema; the very files that it
mounts are run on a real PostgreSQL, a real S3 service and Dagster's own processes.
"""

import contextlib
import importlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
import yaml
from phlo.config import get_settings
from phlo_cli.main import main
from phlo_publishing.server import program
from phlo_testing.ports import free_ports
from pyarrow.fs import FileType, S3FileSystem

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]

WORKFLOW = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion


    class EventSchema(pa.DataFrameModel):
        id: str
        value: int


    @phlo_ingestion(
        table_name="events",
        unique_key="id",
        validation_schema=EventSchema,
        group="api",
        partitions=None,
    )
    def api_events():
        return [{"id": "a", "value": 1}]
"""
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
ONE_SHOT = {"setup", "superset-setup"}


@pytest.fixture
def project(phlo_project, capfd):
    with pytest.raises(SystemExit) as ended:
        main(["new", "stack"])
    assert not ended.value.code
    assert "Next: make up" in capfd.readouterr().out
    return phlo_project.root


def compose(project) -> dict:
    return yaml.safe_load((project / "docker-compose.yml").read_text())


def make(project, *targets) -> str:
    done = subprocess.run(
        ["make", "--silent", *targets],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    return done.stdout


def secrets_of(project) -> dict[str, str]:
    lines = (project / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


# -- the files


def test_the_compose_file_keeps_to_the_published_schema(project):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*command, "docker-compose.yml"], cwd=project, check=True, capture_output=True)
    wrong = compose(project) | {"services": {"postgres": {"imagine": "postgres"}}}
    (project / "wrong.yml").write_text(yaml.safe_dump(wrong))
    refused = subprocess.run([*command, "wrong.yml"], cwd=project, check=False, capture_output=True)
    assert refused.returncode == 1


def test_every_service_is_pinned_limited_watched_and_kept_on_this_machine(project):
    services, volumes = compose(project)["services"], compose(project)["volumes"]
    assert {*ONE_SHOT, "postgres", "minio", "trino", "superset"} < services.keys()
    assert services["dagster-web"]["container_name"] == "${DAGSTER_WEB_NAME:-dagster-web}"
    for name, service in services.items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
        assert ("healthcheck" in service) == (name not in ONE_SHOT)
        assert service["logging"]["options"]["max-file"] == "3"
        assert "build" in service or re.search(r":\D*\d[\w.-]+$", service["image"]), name
        assert all(port.startswith("${LISTEN:-127.0.0.1}:") for port in service.get("ports", []))
        assert service.get("depends_on", {}).keys() <= services.keys()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in volumes or (project / source).exists(), volume
        if "build" in service:
            dockerfile = (project / service["build"]["dockerfile"]).read_text()
            (base,) = re.findall(r"^FROM (\S+)$", dockerfile, re.MULTILINE)
            assert re.search(r":\d", base)


def test_secrets_and_data_stay_out_of_the_image(project):
    ignored = (project / ".dockerignore").read_text().splitlines()
    assert {".env", ".phlo", ".git"} <= set(ignored)
    assert "dist" not in ignored  # the wheels that are installed
    dockerfile = (project / "deploy/Dockerfile").read_text()
    assert dockerfile.index("pip install") < dockerfile.index("COPY --chown=phlo . ./")


def test_secrets_are_written_once_and_told_to_nobody(project):
    (project / ".env").write_text("TOKEN=mine")  # without an end of line
    shown = make(project, "up", "COMPOSE=echo compose")
    first = secrets_of(project)
    assert shown == "compose up --detach --build\n"
    assert first["TOKEN"] == "mine"
    generated = {name: value for name, value in first.items() if name != "TOKEN"}
    assert len(set(generated.values())) == len(generated) == 9
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in generated.values())
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
    text = (project / "docker-compose.yml").read_text()
    needed = {name for name, kind, _ in VARIABLE.findall(text) if kind != "-"}
    assert needed == generated.keys()
    assert make(project, "rebuild", "COMPOSE=echo compose").splitlines() == [
        "compose build dagster-code",
        "compose up --detach dagster-code dagster-web dagster-daemon",
    ]
    assert make(project, "down", "COMPOSE=echo compose") == "compose down\n"
    assert secrets_of(project) == first


def test_the_settings_for_this_machine_are_those_of_the_containers(project):
    (project / ".env").write_text("MINIO_PORT=9900\n")
    lines = make(project, "settings").splitlines()
    here = dict(line.split("=", 1) for line in lines)
    inside = in_containers(project, "dagster-code")
    inside = {name: value for name, value in inside.items() if name.startswith("PHLO_")}
    del inside["PHLO_PROJECT_DIR"]
    assert here.pop("PHLO_ICEBERG_S3_ENDPOINT") == "http://127.0.0.1:9900"
    assert inside.pop("PHLO_ICEBERG_S3_ENDPOINT") == "http://minio:9000"
    names = {"postgres": "127.0.0.1", "trino": "127.0.0.1"}
    moved = {n: names.get(v, v.replace("@postgres:", "@127.0.0.1:")) for n, v in inside.items()}
    assert here == moved


def test_files_that_are_there_are_not_overwritten(project, capfd):
    with pytest.raises(SystemExit) as ended:
        main(["new", "stack"])
    assert ended.value.code == 1
    assert "docker-compose.yml" in capfd.readouterr().err


def test_the_files_of_trino_read_nothing_that_the_container_does_not_get(project):
    texts = [p.read_text() for p in (project / "deploy/trino").rglob("*.properties")]
    read = {name for text in texts for name in re.findall(r"\$\{ENV:(\w+)\}", text)}
    assert read == compose(project)["services"]["trino"]["environment"].keys()


KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"


def values(chart) -> dict:
    return yaml.safe_load((KUBERNETES / f"{chart}.yaml").read_text())


def test_trino_on_kubernetes_has_the_catalogs_of_the_stack(project):
    trino, files = values("trino"), (project / "deploy/trino/catalog").glob("*.properties")
    catalogs = {name: text for name, text in trino["catalogs"].items() if text}
    assert catalogs == {file.stem: file.read_text() for file in files}
    text = (KUBERNETES / "trino.yaml").read_text()
    secrets = re.search(r"^# (TRINO_SECRET.*)\nenvFrom:", text, re.MULTILINE)[1].split(", ")
    given = {entry["name"] for entry in trino["env"]} | set(secrets)
    assert given == set(re.findall(r"\$\{ENV:(\w+)\}", text))
    assert (
        compose(project)["services"]["trino"]["image"] == f"trinodb/trino:{trino['image']['tag']}"
    )


def test_dagster_on_kubernetes_has_the_settings_of_the_stack(project):
    dagster = values("dagster")
    (deployment,) = dagster["dagster-user-deployments"]["deployments"]
    named = {entry["name"] for entry in deployment["env"]}
    page = (KUBERNETES.parents[1] / "docs/operations/kubernetes.md").read_text()
    secrets = set(re.findall(r"--from-literal=(PHLO_\w+)=", page))
    comment = re.findall(r"PHLO_\w+", (KUBERNETES / "dagster.yaml").read_text())
    assert named | secrets == set(comment)
    in_stack = compose(project)["services"]["dagster-code"]
    wanted = {name for name in in_stack["environment"] if name.startswith("PHLO_")}
    assert named | secrets == wanted
    command = ["dagster", "api", "grpc", "--host", "0.0.0.0", "--port", str(deployment["port"])]
    assert [*command, *deployment["dagsterApiGrpcArgs"]] == in_stack["command"]
    logs = yaml.safe_load((project / "deploy/dagster/dagster.yaml").read_text())["python_logs"]
    assert dagster["pythonLogs"]["managedPythonLoggers"] == logs["managed_python_loggers"]
    images = [
        deployment["image"],
        dagster["dagsterWebserver"]["image"],
        dagster["dagsterDaemon"]["image"],
    ]
    assert images == [images[0]] * 3
    launcher = dagster["runLauncher"]["config"]["customRunLauncher"]
    assert hasattr(importlib.import_module(launcher["module"]), launcher["class"])
    (claim,) = yaml.safe_load_all((KUBERNETES / "state.yaml").read_text())
    assert (
        claim["metadata"]["name"] == deployment["volumes"][0]["persistentVolumeClaim"]["claimName"]
    )


def test_the_loggers_are_those_that_phlo_itself_names(project):
    from phlo.orchestration.instance import prepare_home

    written = yaml.safe_load((prepare_home(get_settings()) / "dagster.yaml").read_text())
    in_stack = yaml.safe_load((project / "deploy/dagster/dagster.yaml").read_text())
    assert in_stack["python_logs"] == written["python_logs"]
    assert in_stack["retention"] == written["retention"]


# -- the services


def in_containers(project, service) -> dict[str, str]:
    """The environment of a service, as compose makes it of `.env`."""
    values = secrets_of(project)

    def resolve(match) -> str:
        return values.get(match[1]) or (match[3] if match[2] == "-" else "")

    environment = compose(project)["services"][service]["environment"]
    return {name: VARIABLE.sub(resolve, value) for name, value in environment.items()}


@pytest.fixture
def stack(project, tmp_path_factory, object_store):
    """A PostgreSQL that `init.sh` set up, and the environment of the project's containers on it."""
    from phlo_publishing.server import EmbeddedServer

    make(project, "secrets")
    options = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = EmbeddedServer(tmp_path_factory.mktemp("stack"), options=options)
    address = server.start("postgres")
    try:
        init = {
            **os.environ,
            **in_containers(project, "postgres"),
            "PATH": f"{program('psql').parent}:{os.environ['PATH']}",
            "PGHOST": address.host,
            "PGPORT": str(address.port),
            "PGPASSWORD": address.password.get_secret_value(),
            "POSTGRES_USER": address.user,
        }
        subprocess.run(["sh", "deploy/postgres/init.sh"], cwd=project, env=init, check=True)
        yield address, on_this_machine(project, address, object_store)
    finally:
        server.stop()


def on_this_machine(project, address, object_store) -> dict[str, str]:
    environment = in_containers(project, "dagster-code")
    keys = object_store.s3_properties
    moved = {
        "PHLO_PROJECT_DIR": str(project),
        "PHLO_ICEBERG_S3_ENDPOINT": object_store.s3_endpoint,
        "PHLO_ICEBERG_S3_ACCESS_KEY_ID": keys["s3.access-key-id"],
        "PHLO_ICEBERG_S3_SECRET_ACCESS_KEY": keys["s3.secret-access-key"],
        # The store of the tests has a bucket of this name already, of another kind.
        "PHLO_ICEBERG_WAREHOUSE": f"s3://stack-{address.port}/warehouse",
        "PHLO_POSTGRES_PORT": str(address.port),
        "DAGSTER_POSTGRES_PORT": str(address.port),
        "DAGSTER_HOME": str(project / "home"),
        "DAGSTER_LOGS": str(project / "home" / "logs"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    here = {
        name: address.host if value == "postgres" else value for name, value in environment.items()
    }
    uri = here["PHLO_ICEBERG_CATALOG_URI"]
    here["PHLO_ICEBERG_CATALOG_URI"] = uri.replace(
        "@postgres:5432", f"@{address.host}:{address.port}"
    )
    del here["PHLO_TRINO_HOST"]  # phlo_testing.trino starts Trino with the files of the stack
    return {**os.environ, **here, **moved}


def test_the_database_and_the_bucket_are_made(stack, project, object_store):
    address, environment = stack
    check_roles(address, secrets_of(project))
    for _ in range(2):
        command = [sys.executable, "deploy/setup.py"]
        subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    keys = object_store.s3_properties
    store = S3FileSystem(
        access_key=keys["s3.access-key-id"],
        secret_key=keys["s3.secret-access-key"],
        endpoint_override=object_store.s3_endpoint,
    )
    assert store.get_file_info(f"stack-{address.port}").type == FileType.Directory
    uri = environment["PHLO_ICEBERG_CATALOG_URI"].replace("+psycopg", "")
    with psycopg.connect(uri) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
    assert {"iceberg_tables", "iceberg_namespace_properties"} <= {name for (name,) in tables}


def check_roles(address, passwords) -> None:
    """Each user of the server opens its own database and no other."""

    def connect(role, database):
        password = passwords[f"{role.upper()}_PASSWORD"]
        return psycopg.connect(
            host=address.host, port=address.port, user=role, password=password, dbname=database
        )

    roles = ("lake", "dagster", "marts", "superset")
    for role in roles:
        with connect(role, role) as connection:
            connection.execute("CREATE TABLE mine (n integer)")
        for other in set(roles) - {role}:
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                connect(role, other)


def take_interrupts() -> None:
    """Be as in a container: Dagster ends by SIGTERM only if SIGINT is not ignored at its start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def service(project, environment, name, **replaced):
    """Run the command of a service of Dagster's, with other hosts and ports."""
    words = [replaced.get(word, word) for word in compose(project)["services"][name]["command"]]
    program = Path(sys.executable).parent / words[0]
    with (project / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words[1:]],
            cwd=project,
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=take_interrupts,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)


def ask(port, query, **variables):
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def wait_for(what, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if answer := what():
                return answer
        time.sleep(0.5)
    raise TimeoutError


LAUNCH = """
mutation ($location: String!) {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: $location, repositoryName: "__repository__", jobName: "__ASSET_JOB",
      assetSelection: [{path: ["dlt_events"]}]
    }
    mode: "default"
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
OVER = {"SUCCESS", "FAILURE", "CANCELED"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_dagster_of_the_stack_loads_a_table(stack, phlo_project, project):
    phlo_project.write("workflows/ingestion/api.py", WORKFLOW)
    _, environment = stack
    subprocess.run(
        [sys.executable, "deploy/setup.py"],
        cwd=project,
        env=environment,
        check=True,
        capture_output=True,
    )
    code_port, web_port = free_ports(2)
    home = project / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((project / "deploy/dagster/dagster.yaml").read_text())
    workspace = (project / "deploy/dagster/workspace.yaml").read_text()
    workspace = workspace.replace("dagster-code", "127.0.0.1").replace("4000", str(code_port))
    (home / "workspace.yaml").write_text(workspace)
    here = {
        "0.0.0.0": "127.0.0.1",
        "4000": str(code_port),
        "3000": str(web_port),
        "/srv/dagster/workspace.yaml": str(home / "workspace.yaml"),
    }
    health = ["dagster", "api", "grpc-health-check", "--port", str(code_port)]
    with contextlib.ExitStack() as running:
        running.enter_context(service(project, environment, "dagster-code", **here))
        wait_for(lambda: is_done(health, environment))
        running.enter_context(service(project, environment, "dagster-web", **here))
        running.enter_context(service(project, environment, "dagster-daemon", **here))
        wait_for(lambda: urllib.request.urlopen(f"http://127.0.0.1:{web_port}/server_info"))
        launched = wait_for(lambda: _launched(web_port))
        wait_for(lambda: _status(web_port, launched) in OVER)
        assert _status(web_port, launched) == "SUCCESS"
        assert list((home / "logs").rglob("*.err"))
    rows = subprocess.run(
        ["phlo", "query", "--json", "SELECT id, value FROM bronze.events"],
        cwd=project,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(rows.stdout) == [{"id": "a", "value": 1}]
    assert not (get_settings().lake_dir / "catalog.db").exists()


def is_done(command, environment) -> bool:
    done = subprocess.run(command, env=environment, check=False, capture_output=True)
    return done.returncode == 0


def _launched(port) -> str | None:
    answer = ask(port, LAUNCH, location="phlo.definitions")["launchRun"]
    return answer.get("run", {}).get("runId")


def _status(port, run_id) -> str:
    return ask(port, STATUS, id=run_id)["runOrError"]["status"]
