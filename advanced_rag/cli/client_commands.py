"""`search`, `ask`, `documents` and `jobs`: a running service from the command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from advanced_rag.cli.jobs import add_jobs_command, jobs_answer
from advanced_rag.client.http_client import RagClient, ServiceError
from advanced_rag.config import Settings

_PREVIEW_CHARS: Final = 200


def add_client_commands(commands: Any) -> None:
    """Their arguments."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--url", help="the service; default: where these settings would serve")
    shared.add_argument("--api-key", help="its key")
    shared.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    search = commands.add_parser("search", parents=[shared], help="retrieve passages")
    search.add_argument("query")
    search.add_argument("--top-k", type=int, default=5)
    search.add_argument("--mode", choices=["hybrid", "semantic", "sparse", "domain"], default="hybrid")
    search.add_argument("--filters", type=json.loads, help="a filter, as JSON")
    ask = commands.add_parser("ask", parents=[shared], help="answer a question with citations")
    ask.add_argument("question")
    documents = commands.add_parser("documents", parents=[shared], help="list, show or delete documents")
    documents.add_argument("action", choices=["list", "show", "delete"])
    documents.add_argument("id", nargs="?")
    add_jobs_command(commands, shared)


def run_client_command(settings: Settings, chosen: argparse.Namespace) -> int:
    """One of them; its exit code."""
    url = chosen.url or f"http://{settings.server.host}:{settings.server.port}"
    try:
        with RagClient(url, api_key=chosen.api_key) as client:
            match chosen.command:
                case "search":
                    _search(client, chosen)
                case "ask":
                    _ask(client, chosen)
                case "jobs":
                    for answer, lines in jobs_answer(client, chosen):
                        _print(answer, lines, as_json=chosen.json)
                case _:
                    _documents(client, chosen)
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_UNAVAILABLE if error.status == 0 else 1
    return 0


def _print(answer: Mapping[str, Any], lines: list[str], *, as_json: bool) -> None:
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))
    sys.stdout.write("\n")


def _search(client: RagClient, chosen: argparse.Namespace) -> None:
    options = {"top_k": chosen.top_k, "mode": chosen.mode}
    if chosen.filters is not None:
        options["filters"] = chosen.filters
    answer = client.retrieve(chosen.query, **options)
    lines = [
        f"{result['rank']:>3}. {result['score']:.3f}  {result['title'] or result['document_id']}"
        f"  [{result['document_id']}]\n     {_preview(result['text'])}"
        for result in answer["results"]
    ]
    if answer["degraded"]:
        lines.append(f"degraded: {', '.join(answer['degraded'])}")
    _print(answer, lines or ["nothing found"], as_json=chosen.json)


def _ask(client: RagClient, chosen: argparse.Namespace) -> None:
    answer = client.chat(chosen.question)
    lines = [
        answer["answer"],
        *(
            f"  [{citation['n']}] {citation['title'] or citation['document_id']} ({citation['document_id']}, "
            f"{citation['start']}-{citation['end']})"
            for citation in answer["citations"]
        ),
    ]
    _print(answer, lines, as_json=chosen.json)


def _documents(client: RagClient, chosen: argparse.Namespace) -> None:
    if chosen.action == "list":
        for document in client.documents():
            _print(document, [f"{document['id']}\t{document['title']}"], as_json=chosen.json)
        return
    if not chosen.id:
        raise SystemExit(f"documents {chosen.action}: name a document's id")
    if chosen.action == "delete":
        client.delete(chosen.id)
        return
    document = client.document(chosen.id)
    _print(document, [document["title"], "", document["text"]], as_json=chosen.json)


def _preview(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _PREVIEW_CHARS else f"{line[:_PREVIEW_CHARS]} …"
