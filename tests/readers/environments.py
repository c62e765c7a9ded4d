"""Environments of the readers: each has its own versions, kept in a cache folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from phlo_testing.trino import cache_folder

UV = [sys.executable, "-m", "uv"]
MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy"


@dataclass(frozen=True)
class Environment:
    """What one reader needs.

    Attributes:
        requirements: Packages of the Python index.
        artifacts: Jars of Maven Central, as ``group:artifact:version``.
    """

    requirements: tuple[str, ...]
    artifacts: tuple[str, ...] = ()

    def python(self) -> Path:
        """Path of its interpreter; the environment is made where it is missing."""
        digest = hashlib.sha256("\n".join(self.requirements).encode()).hexdigest()[:12]
        folder = cache_folder() / "readers" / f"env-{digest}"
        with _locked(folder):
            if not (folder / ".ready").exists():
                interpreter = folder / "bin" / "python"
                _run(*UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
                _run(*UV, "pip", "install", "--quiet", "--python", interpreter, *self.requirements)
                (folder / ".ready").touch()
        return folder / "bin" / "python"

    def jars(self) -> list[Path]:
        """Paths of its jars, which Maven fetches where they are missing."""
        folder = cache_folder() / "readers" / "jars"
        with _locked(folder):
            return [_fetch(artifact, folder) for artifact in self.artifacts]


SQLITE = "org.xerial:sqlite-jdbc:3.50.3.0"
RUNTIME = "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13"
SPARK_1_10 = Environment(("pyspark==4.0.1",), (f"{RUNTIME}:1.10.1", SQLITE))
SPARK_1_11 = Environment(("pyspark==4.0.1",), (f"{RUNTIME}:1.11.0", SQLITE))


def _locked(folder: Path) -> FileLock:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f"{folder.name}.lock"))


def _fetch(artifact: str, folder: Path) -> Path:
    _, name, version = artifact.split(":")
    jar = folder / f"{name}-{version}.jar"
    if not jar.exists():
        _run(
            "mvn",
            "--quiet",
            "--batch-mode",
            MAVEN,
            f"-Dartifact={artifact}",
            f"-DoutputDirectory={folder}",
        )
    return jar


def _run(*command: str | Path) -> None:
    # Outside of the workspace, whose pins are not the readers'.
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr + done.stdout
