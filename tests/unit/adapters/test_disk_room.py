"""Nothing new is begun on a disk that is nearly full."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from advanced_rag.adapters.disk_room import DiskRoom
from advanced_rag.exceptions import InsufficientStorage

Disk = namedtuple("Disk", ["total", "used", "free"])
MIB = 1 << 20


def room_on(total: int, free: int) -> DiskRoom:
    return DiskRoom([Path("data")], 500 * MIB, 0.05, usage=lambda _: Disk(total, total - free, free))


@pytest.mark.req("R6.13")
@pytest.mark.parametrize(
    ("total", "free", "enough"),
    [
        (1_000 * MIB, 500 * MIB, True),
        (1_000 * MIB, 500 * MIB - 1, False),  # 5 % would be far less
        (100_000 * MIB, 5_000 * MIB, True),
        (100_000 * MIB, 5_000 * MIB - 1, False),  # more than 500 MB, less than 5 %
        (1_000 * MIB, 0, False),
    ],
)
def test_both_the_bytes_and_the_share_must_be_free(total: int, free: int, enough: bool) -> None:
    room = room_on(total, free)
    if enough:
        room.require()
        return
    with pytest.raises(InsufficientStorage):
        room.require()


def test_one_full_disk_of_several_is_enough_to_refuse(tmp_path: Path) -> None:
    disks = {Path("data"): Disk(100, 0, 100), Path("temp"): Disk(100, 100, 0)}
    with pytest.raises(InsufficientStorage):
        DiskRoom(list(disks), 0, 0.05, usage=disks.__getitem__).require()
    DiskRoom([tmp_path / "not" / "there"], 10**18, 1.0).require()  # the write itself will tell
    DiskRoom([tmp_path], 0, 0.0).require()
