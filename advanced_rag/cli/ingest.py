"""`ingest PATH…`: files and documents into a running service, several requests at once.

Nothing needs to be remembered between runs: what is in already is answered `unchanged` without being embedded again, so
a run that was interrupted is repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

from advanced_rag.cli.ingest_sources import DocumentLine, Found, Source, SourceFile, Unusable, batches, documents, found
from advanced_rag.cli.progress import ProgressLine
from advanced_rag.client.http_client import RagClient, ServiceError
from advanced_rag.config import Settings

FAILED: Final = "failed"
_PARALLEL: Final = 4
_ATTEMPTS: Final = 8
_WORTH_REPEATING: Final = frozenset({0, 429, 502, 503, 504})
_DEFAULT_WAIT_S: Final = 2.0
_MAX_WAIT_S: Final = 60.0
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

Outcome = tuple[str, str, str]  # name, status, reason


def add_ingest_command(commands: Any) -> None:
    """Its arguments."""
    ingest = commands.add_parser(
        "ingest",
        help="send files and folders to a running service",
        description="Sends files, folders (walked) and .jsonl collections of documents. Repeating it is cheap: what is "
        "in already is answered `unchanged`, so an interrupted run is simply run again.",
    )
    ingest.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    ingest.add_argument("--url", help="the service; default: where these settings would serve")
    ingest.add_argument("--api-key", help="its key")
    ingest.add_argument("--domain", help="the domain of every file")
    ingest.add_argument("--metadata", type=json.loads, help="metadata of every file, as a JSON object")
    ingest.add_argument("--parallel", type=int, default=_PARALLEL, help="requests at once")


def run_ingest(settings: Settings, chosen: argparse.Namespace) -> int:
    """Send everything; 0 if all of it is in, 1 if something failed."""
    url = chosen.url or f"http://{settings.server.host}:{settings.server.port}"
    sources = found(chosen.paths)
    with RagClient(url, api_key=chosen.api_key) as client:
        sender = Sender(client, domain=chosen.domain, metadata=chosen.metadata)
        return Run(sender, parallel=max(1, chosen.parallel)).all(sources)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends one batch. Safe in threads. `sleep` waits for a service that is busy, as long as it asks for."""

    client: RagClient
    domain: str | None = None
    metadata: Mapping[str, Any] | None = None
    sleep: Callable[[float], None] = time.sleep

    def send(self, batch: Sequence[Source]) -> list[Outcome]:
        """What became of each. Raises ServiceError where the service cannot be reached at all."""
        try:
            outcomes = self._patiently(batch)
        except OSError as error:
            reason = error.strerror or "it cannot be read"
        except ServiceError as error:
            if error.status == 0:
                raise  # nothing else will get through either
            if error.status in _WORTH_REPEATING:
                return [(source.name, FAILED, str(error)) for source in batch]
            reason = str(error)
        else:
            return [
                (source.name, outcome["status"], (outcome.get("error") or {}).get("message", ""))
                for source, outcome in zip(batch, outcomes, strict=True)
            ]
        if len(batch) > 1:  # one of them, or all: each says why by itself
            return [outcome for source in batch for outcome in self.send([source])]
        return [(batch[0].name, FAILED, reason)]

    def _patiently(self, batch: Sequence[Source]) -> list[dict[str, Any]]:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._once(batch)
            except ServiceError as error:
                if error.status not in _WORTH_REPEATING:
                    raise
                self.sleep(_wait_s(error))
        return self._once(batch)

    def _once(self, batch: Sequence[Source]) -> list[dict[str, Any]]:
        lines = [source.document for source in batch if isinstance(source, DocumentLine)]
        if lines:
            return self.client.ingest(lines)
        files = {source.name: source.path for source in batch if isinstance(source, SourceFile)}
        return self.client.upload(files, domain=self.domain, metadata=self.metadata)


@dataclass(slots=True)
class Run:
    """One run: batches through the sender, a bounded number at once, counted as they end."""

    sender: Sender
    parallel: int
    counts: Counter[str] = field(default_factory=Counter)
    total: int = 0
    line: ProgressLine = field(default_factory=lambda: ProgressLine("sent"))

    def all(self, sources: Found) -> int:
        """Send it; the exit code."""
        self.total = len(sources.files) + len(sources.unusable)
        collections = chain.from_iterable(map(self._counted_documents, sources.collections))
        try:
            self._send(batches(chain(sources.unusable, sources.files, collections)))
        except KeyboardInterrupt:
            self.line.end()
            sys.stderr.write("interrupted: run it again, what is in stays in and is answered `unchanged`\n")
            return _INTERRUPTED
        except ServiceError as error:
            self.line.end()
            sys.stderr.write(f"{error}\n")
            return os.EX_UNAVAILABLE
        self.line.end()
        self._summarize(sources.skipped)
        return 1 if self.counts[FAILED] or not self.total else 0

    def _counted_documents(self, path: Path) -> Iterator[Source | Unusable]:
        try:
            for document in documents(path):
                self.total += 1
                yield document
        except OSError as error:
            self.total += 1
            yield Unusable(path.name, error.strerror or "it cannot be read")

    def _send(self, given: Iterator[Sequence[Source] | Unusable]) -> None:
        pool = ThreadPoolExecutor(self.parallel)
        running: set[Future[list[Outcome]]] = set()
        try:
            for batch in given:
                if isinstance(batch, Unusable):
                    self._count([(batch.name, FAILED, batch.reason)])
                    continue
                running.add(pool.submit(self.sender.send, batch))
                if len(running) == self.parallel:
                    running = self._ended(running)
            while running:
                running = self._ended(running)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, running: set[Future[list[Outcome]]]) -> set[Future[list[Outcome]]]:
        ended, left = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            self._count(future.result())
        return left

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        for name, status, reason in outcomes:
            self.counts[status] += 1
            if status == FAILED:
                self.line.end()
                sys.stderr.write(f"{name}: {reason}\n")
        failed = self.counts[FAILED]
        self.line.show(self.counts.total(), self.total, f", {failed} failed" if failed else "")

    def _summarize(self, skipped: int) -> None:
        if not self.total:
            sys.stderr.write("nothing to send\n")
            return
        parts = [f"{count} {status}" for status, count in sorted(self.counts.items()) if count]
        parts += [f"{skipped} skipped: of no type that is read"] if skipped else []
        sys.stdout.write(", ".join(parts) + "\n")


def _wait_s(error: ServiceError) -> float:
    asked = error.problem.get("retry_after")
    return min(float(asked), _MAX_WAIT_S) if isinstance(asked, int | float) else _DEFAULT_WAIT_S
