"""The three ways of refusing a file; each reason is a sentence for whoever sent it."""

from __future__ import annotations

from advanced_rag.exceptions import FileRefused


def unreadable(reason: str) -> FileRefused:
    """Of a known type, but empty, encrypted or damaged."""
    return FileRefused("unreadable-file", reason)


def too_large(reason: str) -> FileRefused:
    """More than a limit allows, packed or unpacked."""
    return FileRefused("payload-too-large", reason)


def unsupported(reason: str) -> FileRefused:
    """Of a type that is not read here."""
    return FileRefused("unsupported-media-type", reason)
