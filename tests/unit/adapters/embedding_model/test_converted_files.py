from __future__ import annotations

import os
from pathlib import Path

import pytest

from advanced_rag.adapters.embedding_model.backend_choice import Measurement
from advanced_rag.adapters.embedding_model.converted_files import ConvertedFiles
from advanced_rag.adapters.embedding_model.cpu_features import CpuFeatures
from advanced_rag.adapters.embedding_model.precision import Precision

CPU = CpuFeatures("some", ("avx2",))
MEASURED = {Precision.F32: Measurement(1.0, 1.0, 10.0, 1.0)}


@pytest.fixture
def place(tmp_path: Path) -> ConvertedFiles:
    return ConvertedFiles.of(tmp_path / "models", "digest-of-weights")


def filled(place: ConvertedFiles) -> None:
    with place.being_written(), place.new_folder() as folder:
        (folder / "f32.xml").write_text("graph")
        (folder / "f32.bin").write_bytes(b"weights")


def test_a_conversion_is_there_once_it_is_whole(place: ConvertedFiles) -> None:
    assert not place.is_complete()
    filled(place)
    assert place.is_complete()
    assert sorted(file.name for file in place.models_dir.iterdir()) == [place.key, f"{place.key}.lock"]


def test_a_conversion_that_fails_leaves_nothing(place: ConvertedFiles) -> None:
    def fails() -> None:
        with place.being_written(), place.new_folder() as folder:
            (folder / "f32.xml").write_text("half a gra")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert not place.folder.exists()
    assert not list(place.models_dir.glob("*.tmp-*"))


def test_what_a_killed_converter_left_is_removed_by_the_next(place: ConvertedFiles) -> None:
    place.models_dir.mkdir()
    (place.models_dir / f"{place.key}.tmp-1").mkdir()
    filled(place)
    assert not list(place.models_dir.glob("*.tmp-*"))


@pytest.mark.parametrize("damage", [b"", b"weighty", b"weights and more"])
def test_a_damaged_conversion_is_none_and_is_replaced(place: ConvertedFiles, damage: bytes) -> None:
    filled(place)
    (place.folder / "f32.bin").write_bytes(damage)
    assert not place.is_complete()
    filled(place)
    assert place.is_complete()


def test_measurements_hold_for_the_cpu_that_they_were_made_on(place: ConvertedFiles) -> None:
    filled(place)
    assert place.measurements(CPU) is None
    place.write_measurements(CPU, MEASURED)
    assert place.measurements(CPU) == MEASURED
    assert place.measurements(CpuFeatures("another", ("avx2",))) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"precisions": {"f16": {}}}', '{"precisions": {"f32": {}}}'])
def test_measurements_that_cannot_be_read_are_none(place: ConvertedFiles, content: str) -> None:
    filled(place)
    place.write_measurements(CPU, MEASURED)
    next(place.folder.glob("measured-*")).write_text(content)
    assert place.measurements(CPU) is None


def test_other_weights_have_another_place(place: ConvertedFiles) -> None:
    assert ConvertedFiles.of(place.models_dir, "other").folder != place.folder


def test_a_second_writer_waits_for_the_first(place: ConvertedFiles) -> None:
    def tries() -> int:
        """In a child: 0 when it got the lock without waiting."""
        import fcntl

        descriptor = os.open(place.models_dir / f"{place.key}.lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 1
        finally:
            os.close(descriptor)
        return 0

    with place.being_written():
        assert tries() == 1
    assert tries() == 0
