"""JSON as an outline: names and values in nested lists."""

from __future__ import annotations

import json
from typing import Any, Final

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, one_line
from advanced_rag.adapters.file_parsers.refusals import too_large, unreadable
from advanced_rag.adapters.file_parsers.source import Content, Source

_TITLES: Final = ("title", "name")
_WORDS: Final = {True: "true", False: "false", None: "null"}


def read(source: Source) -> Content:
    """Raises FileRefused for what is no JSON, is nested too deeply, or has a number of thousands of digits."""
    value = _value(source)
    out = MarkdownWriter(source.limits)
    _write(value, out, depth=0, limits=source.limits)
    title = ""
    if isinstance(value, dict):
        title = next((one_line(v) for key in _TITLES if isinstance(v := value.get(key), str)), "")
    return Content(text=out.text, titles=(title,), metadata={"charset": source.decoded.charset})


def _value(source: Source) -> Any:
    try:
        return json.loads(source.decoded.text)
    except json.JSONDecodeError as error:
        raise unreadable(f"The file is damaged: what it holds is not JSON (line {error.lineno}).") from error
    except RecursionError as error:
        raise _too_deep(source.limits) from error
    except ValueError as error:  # more digits than Python converts
        raise too_large("The file holds a number of too many digits.") from error


def _write(value: Any, out: MarkdownWriter, *, depth: int, limits: ParseLimits) -> None:
    if depth > limits.nesting:
        raise _too_deep(limits)
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                out.item(f"{one_line(key)}:", depth=depth)
                _write(inner, out, depth=depth + 1, limits=limits)
            else:
                out.item(f"{one_line(key)}: {_shown(inner)}", depth=depth)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            if isinstance(inner, dict | list):
                out.item(f"{number}:", depth=depth)
                _write(inner, out, depth=depth + 1, limits=limits)
            else:
                out.item(_shown(inner), depth=depth)
    else:
        out.paragraph(_shown(value))


def _shown(value: Any) -> str:
    return (
        value if isinstance(value, str) else _WORDS[value] if value is None or isinstance(value, bool) else f"{value}"
    )


def _too_deep(limits: ParseLimits) -> Exception:
    return too_large(f"The file is nested more than {limits.nesting} levels deep.")
