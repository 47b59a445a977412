"""What this machine's CPU can do for inference, and a name under which measurements made on it are kept."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_TELLING_FLAGS: Final = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "bf16",
    "i8mm",
)
_KEY_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class CpuFeatures:
    """The model's name and those of its flags that decide how fast bf16 and int8 are."""

    name: str
    flags: tuple[str, ...]

    @property
    def key(self) -> str:
        """Short, fit for a file name, the same on every machine with such a CPU."""
        return hashlib.sha256("\n".join((self.name, *self.flags)).encode()).hexdigest()[:_KEY_DIGITS]


def cpu_features(cpuinfo: Path = _CPUINFO) -> CpuFeatures:
    """Of this machine. Where there is no /proc/cpuinfo only the architecture is known."""
    fields: dict[str, str] = {}
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), value.strip())  # the first core speaks for all
    present = set((fields.get("flags") or fields.get("features") or "").split())
    return CpuFeatures(
        name=fields.get("model name") or platform.processor() or platform.machine(),
        flags=tuple(flag for flag in _TELLING_FLAGS if flag in present),
    )
