"""What all schemas share: strictness, and the types of ids."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from advanced_rag.constants import MAX_ID_CHARS

ID_PATTERN: Final = rf"^[\w.:@/-]{{1,{MAX_ID_CHARS}}}$"


class RequestModel(BaseModel):
    """A request body: unknown members are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class AnswerModel(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(frozen=True)


def _composed(value: Any) -> Any:
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def not_blank(value: str) -> str:
    """Refuse text without anything to read in it."""
    if not value or value.isspace():
        raise PydanticCustomError("empty", "It must not be empty.")
    return value


# One document must not have two ids that look the same: ids are composed (NFC) before they are compared.
Identifier = Annotated[
    str,
    BeforeValidator(_composed),
    StringConstraints(pattern=ID_PATTERN),
    Field(description="Letters, digits and `. : @ / - _`, up to 128; composed (Unicode NFC)."),
]
