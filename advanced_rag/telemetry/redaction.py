"""What must not be in a log: keys, bearer tokens, passwords in URLs; and what must not fill it: long values."""

from __future__ import annotations

import re
from typing import Final

MAX_VALUE_CHARS: Final = 2_048
REDACTED: Final = "[redacted]"
_CUT_MARK: Final = "…[cut]"

# Keys of this service (`rag_<id>_<secret>`), keys that start as OpenAI's and Hugging Face's do, whatever follows an
# authorization scheme or a name that says secret, and the password of a URL. One pattern: one pass over each line.
_SECRET: Final = re.compile(
    r"""
      (?P<key>\brag_[0-9A-Za-z]{8}_)[0-9A-Za-z]{16,}
    | (?P<vendor>\b(?:sk|hf|pk)[-_])[0-9A-Za-z_-]{16,}
    | (?P<scheme>\b(?:bearer|basic)\s+)[0-9A-Za-z._~+/=-]{6,}
    | (?P<url>://[^\s:/@]*:)[^\s/@]+(?=@)
    | (?P<name>(?<![0-9A-Za-z])(?:authorization|x-api-key|api[_-]?key|password|passwd|secret|token)["']?\s*[:=]\s*["']?)
      (?!(?:bearer|basic)\s)[^\s"',;&}]{4,}
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _masked(match: re.Match[str]) -> str:
    return f"{match.group(match.lastgroup or 0)}{REDACTED}"


def redacted(text: str) -> str:
    """The text with every secret that can be recognised replaced, its name or scheme left standing."""
    return _SECRET.sub(_masked, text)


def shortened(text: str, limit: int = MAX_VALUE_CHARS) -> str:
    """The text, cut where it is longer than `limit` characters, with a mark that says so."""
    return text if len(text) <= limit else text[:limit] + _CUT_MARK
