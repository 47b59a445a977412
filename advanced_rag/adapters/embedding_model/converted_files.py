"""Where converted models are kept: a folder for each, complete or not there, and what was measured of it beside it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from advanced_rag.adapters.embedding_model.backend_choice import Measurement
from advanced_rag.adapters.embedding_model.cpu_features import CpuFeatures
from advanced_rag.adapters.embedding_model.precision import Precision

CONVERSION_VERSION: Final = "2"  # raised whenever the same weights would become another graph
_KEY_DIGITS: Final = 32
_MANIFEST: Final = "manifest.json"
_PROBE_VECTORS: Final = "probe_vectors.npy"
_READ_BYTES: Final = 1 << 20
_PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True)
class ConvertedFiles:
    """One model's place under `models_dir`, by digest of weights, converter and its version."""

    models_dir: Path
    key: str

    @classmethod
    def of(cls, models_dir: Path, model_digest: str) -> ConvertedFiles:
        """The place of the model with these weights."""
        settings = json.dumps([model_digest, CONVERSION_VERSION, version("openvino")])
        return cls(models_dir, hashlib.sha256(settings.encode()).hexdigest()[:_KEY_DIGITS])

    @property
    def folder(self) -> Path:
        """Where the finished conversion is."""
        return self.models_dir / self.key

    @property
    def log(self) -> Path:
        """What the converting process says."""
        return self.models_dir / f"{self.key}.log"

    def graph(self, precision: Precision) -> Path:
        """The graph to compute in that precision; int8's may be missing."""
        return self.folder / ("int8.xml" if precision is Precision.INT8 else "f32.xml")

    @property
    def probe_vectors(self) -> Path:
        """The original's vectors of the probe texts: so that quality is measured again without it."""
        return self.folder / _PROBE_VECTORS

    def is_complete(self) -> bool:
        """Whether every file is there with the content that the conversion wrote. Reads them all, about 0.1 s."""
        try:
            digests = json.loads((self.folder / _MANIFEST).read_text())["files"]
            return bool(digests) and all(_sha256(self.folder / name) == digest for name, digest in digests.items())
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False

    def measurements(self, cpu: CpuFeatures) -> dict[Precision, Measurement] | None:
        """What was measured on such a CPU, or None."""
        try:
            precisions = json.loads(self._report(cpu).read_text())["precisions"]
            return {Precision(name): Measurement.of(fields) for name, fields in precisions.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write_measurements(self, cpu: CpuFeatures, measurements: Mapping[Precision, Measurement]) -> None:
        """Keep them for later starts on such a CPU."""
        report = {
            "cpu": cpu.name,
            "flags": list(cpu.flags),
            "precisions": {name.value: measured.as_fields() for name, measured in measurements.items()},
        }
        path = self._report(cpu)
        temporary = path.with_suffix(f".tmp-{os.getpid()}")
        _write_durably(temporary, json.dumps(report, indent=1).encode())
        temporary.replace(path)

    @contextmanager
    def being_written(self) -> Iterator[None]:
        """One process at a time; the others wait. Whoever dies lets go of it."""
        self.models_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.models_dir / f"{self.key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A folder to fill, which becomes `folder` when this ends without error. `being_written` must be held.

        What converters that were killed have left is removed first.
        """
        for left in self.models_dir.glob(f"{self.key}.tmp-*"):
            shutil.rmtree(left, ignore_errors=True)
        temporary = self.models_dir / f"{self.key}.tmp-{os.getpid()}"
        temporary.mkdir()
        try:
            yield temporary
            self._finish(temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _finish(self, temporary: Path) -> None:
        digests = {}
        for file in sorted(temporary.iterdir()):
            _sync(file)
            digests[file.name] = _sha256(file)
        _write_durably(temporary / _MANIFEST, json.dumps({"files": digests}, indent=1).encode())
        if self.folder.exists():  # damaged; whoever has mapped its files keeps them until it ends
            shutil.rmtree(self.folder)
        temporary.rename(self.folder)
        _sync(self.models_dir)

    def _report(self, cpu: CpuFeatures) -> Path:
        return self.folder / f"measured-{cpu.key}.json"


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            hasher.update(piece)
    return hasher.hexdigest()


def _sync(path: Path) -> None:
    """To the disk, not only to the kernel: a rename must never be older than what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _sync(path)
