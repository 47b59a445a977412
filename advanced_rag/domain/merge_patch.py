"""JSON merge patch (RFC 7396), for objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patched(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`target` with the members of `patch` put in; null takes one away; objects are merged, all else is replaced.

    Neither argument is changed.
    """
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            below = merged.get(name)
            merged[name] = merge_patched(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged
