"""Folders for uploads: private, and gone with their process, however it ended (R8.11)."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from advanced_rag.adapters.upload_folder import upload_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from advanced_rag.adapters.upload_folder import upload_folder
with upload_folder(Path(sys.argv[1])) as folder:
    (folder / "upload").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def folders(root: Path) -> set[Path]:
    return {path for path in root.iterdir() if path.is_dir()}


@pytest.mark.req("R8.11")
def test_a_folder_is_private_and_goes_with_its_owner(tmp_path: Path) -> None:
    root = tmp_path / "data" / "uploads"
    with upload_folder(root) as folder:
        (folder / "x").mkdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folders(root) == {folder}
    assert folders(root) == set()


@pytest.mark.req("R8.11")
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    with upload_folder(tmp_path) as living:
        ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=root, check=False)
        assert ended.returncode == -9
        (left,) = folders(tmp_path) - {living}
        assert (left / "upload").exists()
        with upload_folder(tmp_path) as mine:
            assert folders(tmp_path) == {living, mine}
