"""A process of its own that takes documents in, and dies where it is told to: `crash_child FOLDER JSON`.

The steps are `["put", name, text]`, `["delete", name]` and `["sweep"]`; `at` says which call kills it: the part, its
method, `before`, `during` or `after`. Ends with status 0 where nothing has killed it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from advanced_rag.domain.documents import DocumentId
from tests.integration.crash_at import CrashAt, kill9
from tests.integration.stack import ACME, Stack, embedded_stack


async def main(folder: Path, plan: dict[str, Any]) -> None:
    at = plan.get("at")

    def wrap(name: str, part: Any) -> Any:
        if at is None or at["part"] != name:
            return part
        return CrashAt(part, at["method"], at["when"], nth=at.get("nth", 1), action=kill9)

    async with embedded_stack(folder, wrap=wrap, lease_s=plan["lease_s"], grace_s=plan["grace_s"]) as stack:
        for step in plan["steps"]:
            await _do(stack, *step)


async def _do(stack: Stack, what: str, *arguments: str) -> None:
    match what:
        case "put":
            await stack.put(*arguments)
        case "delete":
            await stack.indexing.delete(ACME, DocumentId(*arguments))
        case "sweep":
            while await stack.sweeping.sweep_once():
                pass


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
