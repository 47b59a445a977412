"""The running service: `python -m advanced_rag serve`, or plain `uvicorn service:app`, on data of its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from tests.servers.processes import ServerProcess

_ROOT: Final = Path(__file__).resolve().parents[2]
MODELS: Final = _ROOT / ".cache" / "models"


class ServiceProcess(ServerProcess):
    """The service on a free port. `settings` are environment variables (`RAG__…`); its data lies below `folder`."""

    start_limit_s = 120.0  # importing torch takes 10 s on two idle cores, several times that on busy ones
    end_limit_s = 30.0
    end_signal = signal.SIGTERM

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, folder: Path | None = None, plain_uvicorn: bool = False
    ) -> None:
        super().__init__(folder)
        self._settings = dict(settings or {})
        self._plain_uvicorn = plain_uvicorn

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        """The two ways of the README."""
        if self._plain_uvicorn:
            return [sys.executable, "-m", "uvicorn", "service:app", "--port", str(self.port), "--app-dir", _ROOT]
        return [sys.executable, "-m", "advanced_rag", "serve"]

    def environment(self) -> Mapping[str, str]:
        """Settings."""
        return {
            "PYTHONPATH": str(_ROOT),
            "RAG__DATA_DIR": str(self.folder / "data"),
            "RAG__SERVER__PORT": str(self.port),
            # Converted once for all services of a test run, which is most of a first start.
            "RAG__EMBEDDING__MODELS_DIR": str(MODELS),
            **self._settings,
        }

    def answers(self) -> bool:
        """Ready to be sent requests."""
        try:
            return httpx.get(f"{self.url}/healthz/ready", timeout=2.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False
