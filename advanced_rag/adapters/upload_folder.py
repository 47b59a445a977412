"""Where uploads lie while they are worked on: a folder a process, removed with it or, if it was killed, later."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOCK: Final = ".lock"
_NAME_BYTES: Final = 8
_PRIVATE: Final = 0o700


@contextmanager
def upload_folder(root: Path) -> Iterator[Path]:
    """A private folder below `root`, empty; blocking. Removes the folders of processes that no longer live.

    A process holds a lock in its folder, which ends with it however it ends: what is not locked belongs to nobody.
    """
    root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    with _locked(root):  # so that nobody takes a folder for abandoned between its making and its locking
        for other in root.iterdir():
            if other.is_dir():
                _remove_if_abandoned(other)
        folder = root / secrets.token_hex(_NAME_BYTES)
        folder.mkdir(mode=_PRIVATE)
        lock = _open(folder)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = _open(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    lock = _open(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _open(folder: Path) -> int:
    return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
