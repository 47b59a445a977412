"""The `Prefer` header (RFC 7240): preferences that are not known, or not readable, are as if they were not there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

PREFER: Final = "Prefer"
RESPOND_ASYNC: Final = "respond-async"

# RFC 7240: preferences are separated by commas, their values may be quoted, names are case-insensitive.
_WAIT: Final = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?:;[^,]*)?(?=,|$)", re.IGNORECASE)
_RESPOND_ASYNC: Final = re.compile(r"(?:^|,)\s*respond-async\s*(?:;[^,]*)?(?=,|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a client would like. `wait_s`: with `respond_async` how long it waits for the end before it takes a job."""

    respond_async: bool = False
    wait_s: float | None = None

    @classmethod
    def of(cls, headers: Headers) -> Preferences:
        """Those of a request."""
        given = ",".join(headers.getlist(PREFER))
        if not given:
            return cls()
        wait = _WAIT.search(given)
        return cls(_RESPOND_ASYNC.search(given) is not None, float(wait.group(1)) if wait else None)
