"""Refusals that only exist over HTTP; like every error of ours they know no status code (`errors.py` does).

CallerError
└─ HttpRefusal
   ├─ MalformedJson           the body cannot be parsed
   ├─ UnsupportedMediaType    its type or its encoding is not one that we read
   ├─ PayloadTooLarge         it is longer than the route takes
   ├─ HeadersTooLarge
   ├─ RequestTooSlow          it does not arrive
   ├─ Unauthorized
   ├─ Forbidden
   └─ MethodNotAllowed
"""

from __future__ import annotations

from collections.abc import Iterable

from advanced_rag.exceptions import CallerError


class HttpRefusal(CallerError):  # a refusal, as its module says
    """The request as a message is wrong. `closes`: the connection cannot be used for another one."""

    closes = False


class MalformedJson(HttpRefusal):
    """The body is not JSON."""

    code = "malformed-json"


class UnsupportedMediaType(HttpRefusal):
    """The body's type, charset or encoding is not one that this route reads."""

    code = "unsupported-media-type"


class PayloadTooLarge(HttpRefusal):
    """The body is longer than `limit_bytes`. `drained`: it was read to its end all the same."""

    code = "payload-too-large"

    def __init__(self, limit_bytes: int, *, drained: bool) -> None:
        super().__init__(f"The body may have {limit_bytes} bytes.")
        self.limit_bytes = limit_bytes
        self.closes = not drained


class HeadersTooLarge(HttpRefusal):
    """Too many headers, or too long ones."""

    code = "header-too-large"
    closes = True


class RequestTooSlow(HttpRefusal):
    """The body did not arrive in time or not fast enough."""

    code = "request-timeout"
    closes = True


class Unauthorized(HttpRefusal):
    """No credentials, or none that we know."""

    code = "unauthorized"


class Forbidden(HttpRefusal):
    """Known, and not allowed to do this."""

    code = "forbidden"


class MethodNotAllowed(HttpRefusal):
    """The path exists, the method does not. `allowed` are those that do."""

    code = "method-not-allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("This path does not take that method.")
        self.allowed = tuple(sorted(allowed))
