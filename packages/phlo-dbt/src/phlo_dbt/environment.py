"""Set the phlo project's ``.env`` for a command of dbt that phlo did not start."""

from __future__ import annotations

import os
from pathlib import Path

from dbt.flags import get_flags
from phlo.config import reset_settings
from phlo.env_file import find_project_dir, load_env_file

from phlo_dbt.dbt_private import extend_environment


def load_project_environment() -> None:
    """Set the variables of ``.env`` that the environment does not have.

    The adapter calls it when dbt reads the profile, before it renders ``dbt_project.yml``, models
    and macros.
    """
    name_project_of(Path(getattr(get_flags(), "PROJECT_DIR", None) or ".").resolve())
    load_env_file()
    extend_environment(os.environ)


def name_project_of(dbt_dir: Path) -> None:
    """Set ``PHLO_PROJECT_DIR`` to the project of a dbt folder, where dbt was started elsewhere."""
    here = find_project_dir()
    is_here = (here / "workflows").is_dir() and here in dbt_dir.parents
    if "PHLO_PROJECT_DIR" in os.environ or is_here:
        return
    inside = [folder for folder in dbt_dir.parents if (folder / "workflows").is_dir()]
    os.environ["PHLO_PROJECT_DIR"] = str(inside[0] if inside else dbt_dir)
    reset_settings()
