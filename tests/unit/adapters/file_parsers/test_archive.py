"""Archives cost no more than their limits, and their names are no paths."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from advanced_rag.adapters.file_parsers.archive import ZipArchive
from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.exceptions import FileRefused
from tests.unit.adapters.file_parsers import made_files as made

LIMITS = ParseLimits()


def test_members_are_found_by_name_whatever_its_case() -> None:
    archive = ZipArchive(made.zip_of({"A/b.XML": "content"}), LIMITS)
    assert "a/B.xml" in archive
    assert archive.read("a/b.xml") == b"content"
    assert archive.has_folder("a/")
    with pytest.raises(FileRefused, match="missing"):
        archive.read("c")


@pytest.mark.req("R8.10")
def test_an_archive_of_too_many_members_is_refused() -> None:
    many = {f"{number}": "" for number in range(2_001)}
    with pytest.raises(FileRefused, match="2,000 parts"):
        ZipArchive(made.zip_of(many), LIMITS)


@pytest.mark.req("R8.10")
def test_a_member_that_unpacks_to_far_more_than_it_is_is_refused() -> None:
    archive = ZipArchive(made.zip_of({"small": bytes(900_000), "bomb": bytes(50_000_000)}), LIMITS)
    assert len(archive.read("small")) == 900_000  # a thousand times its size, and harmless
    with pytest.raises(FileRefused, match="100 times") as refused:
        archive.read("bomb")
    assert refused.value.code == "payload-too-large"


@pytest.mark.req("R8.10")
def test_members_count_together() -> None:
    content = os.urandom(600_000)
    archive = ZipArchive(made.zip_of({"a": content, "b": content}), ParseLimits(unpacked_bytes=1_000_000))
    assert archive.read("a") == content
    with pytest.raises(FileRefused, match="1,000,000 bytes"):
        archive.read("b")


@pytest.mark.req("R8.10")
@pytest.mark.parametrize("said", [100, 4_000_000_000])
def test_what_an_archive_says_about_its_sizes_is_not_believed(said: int) -> None:
    honest = made.zip_of({"other": "x", "bomb": "y"})
    archive = ZipArchive(made.with_content(honest, "bomb", made.deflated_zeros(10), said), LIMITS)
    with pytest.raises(FileRefused, match=r"100 times|200,000,000 bytes|damaged"):
        archive.read("bomb")


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(made.zip_of({"a": "content"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    with pytest.raises(FileRefused, match="password"):
        ZipArchive(bytes(data), LIMITS).read("a")


def test_other_ways_of_packing_are_refused() -> None:
    with pytest.raises(FileRefused, match="packed in a way"):
        ZipArchive(made.zip_of({"a": "content"}, zipfile.ZIP_LZMA), LIMITS).read("a")


@pytest.mark.parametrize("keep", [3, 20, 60, -30, -5])
def test_a_cut_archive_is_damaged(keep: int) -> None:
    with pytest.raises(FileRefused, match="damaged"):
        ZipArchive(made.zip_of({"a": "content" * 100})[:keep], LIMITS).read("a")


@pytest.mark.req("R8.10")
def test_names_that_lead_out_of_a_folder_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    archive = ZipArchive(made.zip_of({"../../evil": "1", "/etc/evil": "2", "C:\\evil": "3"}), LIMITS)
    assert archive.read("../../evil") == b"1"
    assert list(tmp_path.iterdir()) == []
