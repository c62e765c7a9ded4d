"""The reference names every hook and every setting."""

import inspect
from pathlib import Path

from phlo import hookspecs
from phlo.plugins import plugin_manager

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_every_hook_is_in_the_reference_with_its_arguments():
    text = (REFERENCE / "hooks.md").read_text()
    hooks = {n: f for n, f in vars(hookspecs).items() if n.startswith("phlo_")}
    written = [f"`{n}({', '.join(inspect.signature(f).parameters)})`" for n, f in hooks.items()]
    assert [row for row in written if row not in text] == []
    assert len(hooks) == 18


def test_every_setting_is_in_the_reference_with_its_description():
    text = (REFERENCE / "configuration-reference.md").read_text()
    missing = [
        f"{kind.model_config['env_prefix']}{name.upper()}: {field.description}"
        for kind in plugin_manager().hook.phlo_register_settings()
        for name, field in kind.model_fields.items()
        if f"| `{kind.model_config['env_prefix']}{name.upper()}` | {field.description} |"
        not in text
    ]
    assert missing == []
