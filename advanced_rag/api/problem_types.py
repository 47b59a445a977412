"""The kinds of problem that the service answers: names, statuses and titles are public and never change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One row of the table. `summary` is what its page says where the documentation is not installed."""

    name: str
    status: int
    title: str
    summary: str

    @property
    def uri(self) -> str:
        """Its `type` member: a relative reference with its full path (RFC 9457, section 3.1.1)."""
        return f"/problems/{self.name}"


_ALL: Final = (
    ProblemType("malformed-json", 400, "Malformed JSON", "The body is not JSON."),
    ProblemType("unauthorized", 401, "Authentication required", "No credentials, or none that are known."),
    ProblemType("forbidden", 403, "Not allowed", "These credentials do not allow this."),
    ProblemType("not-found", 404, "Not found", "Nothing is there, or nothing of yours."),
    ProblemType("method-not-allowed", 405, "Method not allowed", "The path exists, the method does not."),
    ProblemType("request-timeout", 408, "Request too slow", "The body did not arrive in time."),
    ProblemType("conflict", 409, "Conflict", "The request contradicts the state that it meets."),
    ProblemType("idempotency-in-progress", 409, "Request in progress", "The first request with that key still runs."),
    ProblemType("stream-in-progress", 409, "Stream in progress", "That session is already being answered."),
    ProblemType("payload-too-large", 413, "Body too large", "The body is longer than this path takes."),
    ProblemType("unsupported-media-type", 415, "Unsupported media type", "The body's type or encoding is not read."),
    ProblemType("validation", 422, "Invalid request", "Fields were refused; `errors` names them."),
    ProblemType("idempotency-mismatch", 422, "Key used for another body", "That key came with another body before."),
    ProblemType("rate-limited", 429, "Too many requests", "A limit of requests per time was reached."),
    ProblemType("quota-exceeded", 429, "Quota exceeded", "A quota was used up."),
    ProblemType("header-too-large", 431, "Headers too large", "There are too many headers, or too long ones."),
    ProblemType("internal", 500, "Internal error", "A bug; nothing about the request is known to be wrong."),
    ProblemType("overloaded", 503, "Overloaded", "More is being asked than can be answered now."),
    ProblemType("index-unavailable", 503, "Search unavailable", "No search index answers."),
    ProblemType("database-unavailable", 503, "Database unavailable", "The database does not answer."),
    ProblemType("dependency-unavailable", 503, "Dependency unavailable", "Something that is needed does not answer."),
    ProblemType("starting", 503, "Starting", "This process is not ready yet."),
    ProblemType("shutting-down", 503, "Shutting down", "This process is about to end."),
    ProblemType("schema-mismatch", 503, "Schema mismatch", "The database belongs to another version."),
    ProblemType("deadline-exceeded", 504, "Deadline exceeded", "The answer was not ready in the time allowed."),
    ProblemType("insufficient-storage", 507, "Storage full", "There is no room to store more."),
)

PROBLEM_TYPES: Final = {problem.name: problem for problem in _ALL}
