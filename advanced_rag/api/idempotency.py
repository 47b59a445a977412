"""`Idempotency-Key`: its syntax, and an answer given once (draft-ietf-httpapi-idempotency-key-header, R6.5).

Kept are answers, and refusals that came out of the work itself. Not kept: what was refused before it (validation, 401,
408, 413, 429), and failures of ours (5xx): the same request may succeed later.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from advanced_rag.api.errors import problem_of
from advanced_rag.api.native_route import INLINE_BODY_BYTES
from advanced_rag.api.problem_response import ProblemResponse
from advanced_rag.api.refusals import HttpRefusal
from advanced_rag.api.state import state_of
from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import CallerError, LeaseLost, ValidationError
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import KeyClaim, KeyedRequest
from advanced_rag.services.idempotency import fingerprint_of

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"

_BARE: Final = re.compile(r"[\x21-\x7e]{1,255}")
# RFC 8941, section 3.3.3, without the space: `"` and `\` are written with a `\` before them.
_QUOTED: Final = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
_ESCAPE: Final = re.compile(r'\\(["\\])')
_KEPT_HEADERS: Final = frozenset({"content-type", "location", "preference-applied", "retry-after", "vary"})

Act = Callable[[KeyClaim | None], Awaitable[Response]]


def idempotency_key(request: Request) -> str | None:
    """The key, the same one bare and quoted; None where there is none. Raises ValidationError for what is no key."""
    given = request.headers.getlist(IDEMPOTENCY_KEY)
    if not given:
        return None
    if len(given) == 1:
        if (quoted := _QUOTED.fullmatch(given[0])) is not None:
            return _ESCAPE.sub(r"\1", quoted.group(1))
        if not given[0].startswith('"') and _BARE.fullmatch(given[0]):
            return given[0]
    raise ValidationError.of(f"/{IDEMPOTENCY_KEY}", "invalid-header", "One key of 1 to 255 visible ASCII characters.")


async def fingerprint_of_json(request: Request) -> str:
    """Of the parsed body of a native route. A small one is not worth a thread, nor a place in the queue for one."""
    declared = request.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdigit() and int(declared) <= INLINE_BODY_BYTES:
        return fingerprint_of(await request.json())
    return await state_of(request).executor.run(partial(fingerprint_of, await request.json()))


async def answer_once(
    request: Request,
    tenant: Tenant,
    route: str,
    act: Act,
    *,
    fingerprint: Callable[[Request], Awaitable[str]] = fingerprint_of_json,
) -> Response:
    """What `act` answers, or answered to an earlier request with the same key.

    Args:
        request: read for the key; without one `act(None)` is all that happens.
        tenant: whose key it is.
        route: the versioned path: its aliases share their keys with it.
        act: does the work. With a claim it may commit the answer, `kept_answer(claim, response)`, with the work.
        fingerprint: what two requests for the same have in common.
    """
    key = idempotency_key(request)
    if key is None:
        return await act(None)

    async def execute(claim: KeyClaim) -> KeptAnswer:
        try:
            response = await act(claim)
        except (ValidationError, HttpRefusal, LeaseLost):
            raise
        except CallerError as error:
            response = ProblemResponse(problem_of(error))
        return kept_answer(claim, response)

    keyed = KeyedRequest(tenant, route, key, await fingerprint(request))
    answer, replayed = await state_of(request).services.keys.once(keyed, execute)
    headers = {**answer.headers, **({REPLAYED: "true"} if replayed else {})}
    return Response(answer.body, answer.status, headers)


def kept_answer(claim: KeyClaim, response: Response) -> KeptAnswer:
    """A response as it is kept; headers that belong to one request only are left out."""
    headers = {name: value for name, value in response.headers.items() if name in _KEPT_HEADERS}
    return claim.kept(response.status_code, headers, bytes(response.body).decode())
