"""Request ids: the caller's where it has the agreed form, else a fresh UUIDv7 (`wire.md` 9)."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Sequence
from typing import Final

REQUEST_ID_HEADER: Final = b"x-request-id"

_FORM: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_NS_PER_MS: Final = 1_000_000
# RFC 9562, section 5.7: 48 bits of milliseconds, version 7, 12 random bits, variant 10, 62 random bits.
_TIME_SHIFT: Final = 80
_VERSION: Final = 0x7 << 76
_RAND_A_SHIFT: Final = 64
_VARIANT: Final = 0b10 << 62
_TIME_BITS, _RAND_A_BITS, _RAND_B_BITS = 48, 12, 62


def uuid7() -> uuid.UUID:
    """A UUID whose first 48 bits are the time: sorted by id is sorted by time. Source: RFC 9562, section 5.7."""
    milliseconds = time.time_ns() // _NS_PER_MS & ((1 << _TIME_BITS) - 1)
    random_a, random_b = secrets.randbits(_RAND_A_BITS), secrets.randbits(_RAND_B_BITS)
    return uuid.UUID(int=milliseconds << _TIME_SHIFT | _VERSION | random_a << _RAND_A_SHIFT | _VARIANT | random_b)


def request_id_of(given: Sequence[bytes]) -> str:
    """The one id that was given, if it has the form; a fresh one for none, several or another form."""
    if len(given) == 1 and _FORM.fullmatch(given[0]):
        return given[0].decode("ascii")
    return str(uuid7())
