"""An embedding server of our own: OpenAI's, TEI's and Infinity's shapes over a cheap deterministic model, with faults.

As a module it is the fixture; run as a program it is the server. A test writes a script of faults, one for each of the
next embedding requests, and asks afterwards what the server has seen.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by its path, which puts its own folder first, not the repository
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.servers.processes import ServerProcess

MODEL = "hashed-words"
DIMENSIONS = 16
SCALE = 3.0  # nobody promises unit length
_CONTROL_LIMIT_S = 5.0


def hashed_vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The words of a text, each added to one dimension; never zero, not of unit length."""
    vector = [0.0] * dimensions
    for word in text.lower().split() or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % dimensions] += 1.0 + digest[1] / 256
    norm = math.sqrt(sum(value * value for value in vector))
    return [SCALE * value / norm for value in vector]


class EmbeddingServer(ServerProcess):
    """A child process; `dialect` is openai, tei or infinity."""

    start_limit_s = 10.0

    def __init__(self, dialect: str = "openai", *, max_batch: int = 32, dimensions: int = DIMENSIONS) -> None:
        super().__init__()
        self.arguments = ("--dialect", dialect, "--max-batch", str(max_batch), "--dimensions", str(dimensions))

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{self.host}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return (sys.executable, Path(__file__).resolve(), "--port", str(self.port), *self.arguments)

    def answers(self) -> bool:
        try:
            self.seen()
        except OSError:
            return False
        return True

    def script(self, *faults: Mapping[str, Any]) -> None:
        """One for each of the next embedding requests; `{}` is none. Replaces what is left of the last script."""
        self._control("PUT", "/script", list(faults))

    def seen(self) -> list[dict[str, Any]]:
        """The embedding requests since `forget`: `path`, `texts`, `headers`."""
        seen: list[dict[str, Any]] = self._control("GET", "/seen")
        return seen

    def forget(self) -> None:
        """Empty `seen` and the script."""
        self._control("PUT", "/forget", [])

    def _control(self, method: str, path: str, body: object = None) -> Any:
        connection = HTTPConnection(self.host, self.port, timeout=_CONTROL_LIMIT_S)
        try:
            connection.request(method, path, json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


class _State:
    """What all handler threads share."""

    def __init__(self, dialect: str, max_batch: int, dimensions: int) -> None:
        self.dialect = dialect
        self.max_batch = max_batch
        self.dimensions = dimensions
        self.lock = threading.Lock()
        self.script: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []

    @property
    def embedding_path(self) -> str:
        return {"openai": "/v1/embeddings", "infinity": "/embeddings", "tei": "/embed"}[self.dialect]

    def next_fault(self, seen: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.seen.append(seen)
            return self.script.pop(0) if self.script else {}

    def control(self, path: str, body: Any) -> object:
        with self.lock:
            if path == "/script":
                self.script = body
            elif path == "/forget":
                self.script, self.seen = [], []
            return list(self.seen) if path == "/seen" else []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    state: _State

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Nothing: the test asks `seen`."""

    def do_GET(self) -> None:  # the base class's name
        if self.path == "/info" and self.state.dialect == "tei":
            self._send(
                200,
                {
                    "model_id": MODEL,
                    "model_sha": "a1b2",
                    "max_client_batch_size": self.state.max_batch,
                    "max_input_length": 128,
                    "max_batch_tokens": 16_384,
                },
            )
        elif self.path == "/seen":
            self._send(200, self.state.control(self.path, None))
        else:
            self._send(404, {"detail": "Not Found"})

    def do_PUT(self) -> None:
        self._send(200, self.state.control(self.path, json.loads(self._body())))

    def do_POST(self) -> None:
        body = json.loads(self._body())
        if self.path != self.state.embedding_path:
            self._send(404, {"detail": "Not Found"})
            return
        texts = body["inputs" if self.state.dialect == "tei" else "input"]
        fault = self.state.next_fault({"path": self.path, "texts": texts, "headers": dict(self.headers.items())})
        time.sleep(fault.get("slow_s", 0.0))
        if "reset" in fault:
            self._reset()
        elif "status" in fault:
            self._send(fault["status"], fault.get("body", {"error": {"message": "scripted"}}), fault.get("headers"))
        elif len(texts) > self.state.max_batch:
            message = f"batch size {len(texts)} > maximum allowed batch size {self.state.max_batch}"
            self._send(422, {"error": message, "error_type": "Validation"})
        elif "" in texts:
            self._send(400, {"error": {"message": "empty input"}})
        else:
            self._answer(texts, fault)

    def _answer(self, texts: Sequence[str], fault: Mapping[str, Any]) -> None:
        vectors = [hashed_vector(text, fault.get("dimensions", self.state.dimensions)) for text in texts]
        if "count" in fault:
            vectors = (vectors * 2)[: max(0, len(vectors) + fault["count"])]
        if "value" in fault:  # NaN, Infinity, null, a string: whatever stands in the first vector
            vectors[0][0] = fault["value"]
        if "zero" in fault:
            vectors[-1] = [0.0] * len(vectors[-1])
        if "ragged" in fault:
            vectors[-1] = vectors[-1][:-1]
        content = json.dumps(self._shaped(vectors, fault)).encode()
        self._send_raw(200, fault.get("raw", "").encode() or content, fault)

    def _shaped(self, vectors: list[list[float]], fault: Mapping[str, Any]) -> object:
        if self.state.dialect == "tei":
            return vectors
        data: list[dict[str, Any]] = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector) if "base64" in fault else vector}
            for index, vector in enumerate(vectors)
        ]
        if "reversed" in fault:
            data.reverse()
        if "same_index" in fault:
            data[-1]["index"] = 0
        return {"object": "list", "model": fault.get("model", MODEL), "data": data, "usage": {}}

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status: int, content: object, headers: Mapping[str, str] | None = None) -> None:
        raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self._send_raw(status, raw, {"headers": headers or {}})

    def _send_raw(self, status: int, content: bytes, fault: Mapping[str, Any]) -> None:
        padding = b" " * fault.get("padding_bytes", 0)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) + len(padding)))
        for name, value in fault.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        if "truncated" in fault:
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        try:
            self.wfile.write(content)
            self.wfile.write(padding)
        except OSError:  # it had heard enough
            self.close_connection = True

    def _reset(self) -> None:
        """An RST instead of an answer."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = _Nowhere()  # type: ignore[assignment]  # what the base class flushes afterwards


class _Nowhere:
    closed = False

    def flush(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""


def _encoded(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", default="openai")
    parser.add_argument("--max-batch", type=int, default=32)
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    options = parser.parse_args()
    _Handler.state = _State(options.dialect, options.max_batch, options.dimensions)
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", options.port), _Handler).serve_forever()


if __name__ == "__main__":
    _main()
