"""The problem document, for the OpenAPI description; the answers themselves are made by `problem_response`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RefusedField(BaseModel):
    """One field that was refused; its value is never repeated."""

    loc: str = Field(description="JSON Pointer into the request.", examples=["/documents/3/title"])
    code: str = Field(examples=["string-too-long"])
    message: str


class Problem(BaseModel):
    """RFC 9457. Further members depend on `type`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Stable; serves its own page.", examples=["/problems/validation"])
    title: str = Field(examples=["Invalid request"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 field was refused."])
    instance: str = Field(description="The request id.", examples=["req-7f2"])
    request_id: str = Field(examples=["req-7f2"])
    errors: list[RefusedField] | None = Field(default=None, description="Of `validation`: up to 20 refused fields.")
    retry_after: int | None = Field(default=None, description="Seconds, as in `Retry-After`.")
    dependency: str | None = Field(default=None, description="What does not answer.")
    degraded: list[str] | None = Field(default=None, description="`component:reason` of what failed.")
    limit_bytes: int | None = Field(default=None, description="Of `payload-too-large`.")
    deadline_ms: int | None = Field(default=None, description="Of `deadline-exceeded`: the time allowed.")
    spent_ms: int | None = Field(default=None, description="Of `deadline-exceeded`: the time taken.")
    stage: str | None = Field(default=None, description="Of `deadline-exceeded`: what was being done.")
    idempotency_key: str | None = Field(default=None, description="Of `idempotency-*`: the key.")
