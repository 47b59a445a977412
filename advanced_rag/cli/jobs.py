"""`jobs`: ingest jobs of a running service."""

from __future__ import annotations

import argparse
from typing import Any

from advanced_rag.client.http_client import RagClient

_ACTIONS = ("list", "show", "cancel")


def add_jobs_command(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Its arguments."""
    jobs = commands.add_parser("jobs", parents=[shared], help="list, show or cancel ingest jobs")
    jobs.add_argument("action", choices=_ACTIONS)
    jobs.add_argument("id", nargs="?")


def jobs_answer(client: RagClient, chosen: argparse.Namespace) -> list[tuple[dict[str, Any], list[str]]]:
    """What to print: each answer as JSON, and as lines. Raises ServiceError; SystemExit where an id is missing."""
    if chosen.action == "list":
        return [(job, [_line(job)]) for job in client.jobs()]
    if not chosen.id:
        raise SystemExit(f"jobs {chosen.action}: name a job's id")
    job = client.cancel_job(chosen.id) if chosen.action == "cancel" else client.job(chosen.id)
    failed = [line for line in job["documents"] if line["status"] == "failed"]
    return [(job, [_line(job), *(f"  {line['id']}: {line['error']['message']}" for line in failed)])]


def _line(job: dict[str, Any]) -> str:
    progress = job["progress"]
    line = f"{job['id']}\t{job['state']}\t{progress['done']}/{progress['total']}"
    if progress["failed"]:
        line += f", {progress['failed']} failed"
    return line + (f"\t{job['error']}" if job["error"] else "")
