"""Writes docs/SETTINGS.md from the settings themselves, so that the page cannot say anything else.

python scripts/build_settings_page.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advanced_rag.config import PREFIX, Settings

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "SETTINGS.md"
HEAD: Final = """# Settings

Read from `config.yaml` (another file: `RAG__CONFIG_FILE`), then from the environment, which rules. An unknown name
stops the
start. `python -m advanced_rag config` prints what is in force. Units are in the names: `_s` seconds, `_tokens`,
`_rows`.
"""


def shown(value: Any) -> str:
    """A default as it would be written."""
    if isinstance(value, SecretStr):
        return "(secret, empty)"
    if isinstance(value, Path):
        return f"`{value}`"
    return f"`{json.dumps(value)}`"


def rows(model: BaseModel, prefix: str) -> Iterator[str]:
    """A line for each setting of a section."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from rows(value, f"{prefix}{name.upper()}__")
        else:
            yield f"| `{prefix}{name.upper()}` | {shown(value)} |"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, info in Settings.model_fields.items():
        value = info.get_default(call_default_factory=True, validated_data={})
        if isinstance(value, BaseModel):
            parts.append(f"## {name}\n\n{(type(value).__doc__ or '').strip()}\n\n| name | default |\n|---|---|")
            parts.append("\n".join(rows(value, f"{PREFIX}{name.upper()}__")) + "\n")
        else:
            parts.append(f"| name | default |\n|---|---|\n| `{PREFIX}{name.upper()}` | {shown(value)} |\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
