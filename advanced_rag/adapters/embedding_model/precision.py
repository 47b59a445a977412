"""In what a model's numbers are kept and computed."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """Of weights and activations. f32 and bf16 are one file, computed otherwise."""

    F32 = "f32"
    BF16 = "bf16"
    INT8 = "int8"
