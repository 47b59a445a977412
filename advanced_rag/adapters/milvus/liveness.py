"""One cheap question over the service's own connection, for the prober."""

from __future__ import annotations

from advanced_rag.adapters.milvus.client import ONE_ATTEMPT, MilvusConnection
from advanced_rag.adapters.milvus.errors import translated


async def check_connection(connection: MilvusConnection) -> None:
    """Ask for the collections. Raises DependencyError when Milvus does not answer."""
    connected = await connection.open()
    with translated("milvus"):
        await connected.client.list_collections(**ONE_ATTEMPT)
