"""Which precision of a converted model serves: the fastest that ranks like the original on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from advanced_rag.adapters.embedding_model.precision import Precision

# The worst cosine between a converted model's vector and the original's, over the probe texts. Measured on SciFact and
# Cranfield: at a worst 0.9969 nDCG@10 moves by less than 0.3 %, at a worst 0.987 by up to 1.4 %.
MIN_COSINE: Final[Mapping[Precision, float]] = {Precision.F32: 0.9999, Precision.BF16: 0.9995, Precision.INT8: 0.995}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One precision on this machine against the original model in f32."""

    min_cosine: float
    mean_cosine: float
    queries_per_s: float
    passages_per_s: float

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Measurement:
        """From what `as_fields` made. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(**{name: float(fields[name]) for name in cls.__dataclass_fields__})

    def as_fields(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)

    @property
    def speed(self) -> float:
        """Geometric mean over queries and passages: neither is bought with the other."""
        return math.sqrt(self.queries_per_s * self.passages_per_s)


def passing(measurements: Mapping[Precision, Measurement]) -> list[Precision]:
    """The precisions that may serve, fastest first. NaN passes nothing."""
    able = [precision for precision, measured in measurements.items() if measured.min_cosine > MIN_COSINE[precision]]
    return sorted(able, key=lambda precision: -measurements[precision].speed)
