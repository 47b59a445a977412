"""What uvicorn imports: `uvicorn service:app`."""

from advanced_rag.bootstrap.application import app

__all__ = ["app"]
