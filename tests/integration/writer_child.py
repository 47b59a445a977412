"""A process that replaces one document again and again: `writer_child JSON`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from advanced_rag.adapters.milvus.client import MilvusConnection
from advanced_rag.services.ingest_outcome import IngestStatus
from tests.integration.stack import chunked, stack_on

ROUNDS = 15


async def main(plan: dict[str, Any]) -> None:
    connection = MilvusConnection(plan["uri"], embedded=True)
    try:
        async with stack_on(connection, Path(plan["database"]), prefix=plan["prefix"]) as stack:
            for number in range(ROUNDS):
                outcome = await stack.put("d", chunked(f"zanzibar {plan['name']}{number}"))
                assert outcome.status in (IngestStatus.REPLACED, IngestStatus.SUPERSEDED), outcome
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
