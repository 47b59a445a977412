"""Which texts go through the model together: a batch is padded to its longest text, and padding costs like text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# What one run of the model costs beyond its tokens (weights are read once, a hundred small operators are started):
# as much as about so many padded tokens, measured for a six-layer model of 384 dimensions.
RUN_COST_TOKENS: Final = 48


def batches_by_length(lengths: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Positions of `lengths` in batches of like length, every position once, longest first.

    Args:
        lengths: tokens of each text, >= 1.
        max_tokens: bound of (texts * longest) of a batch; a text longer than that still goes, alone.

    Returns:
        Batches in which the texts are shorter than the first by so little that another run would cost more.
    """
    batches: list[list[int]] = []
    longest = padding = 0
    for position in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[position]
        padding += longest - length
        if not batches or (len(batches[-1]) + 1) * longest > max_tokens or padding > RUN_COST_TOKENS:
            batches.append([])
            longest, padding = length, 0
        batches[-1].append(position)
    return batches
