"""The engine's locks, places and restarts, without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.milvus.engine_child import bound_log, kill_former
from advanced_rag.adapters.milvus.engine_limits import EngineLimits, RestartPolicy
from advanced_rag.adapters.milvus.engine_locks import ChildLock, OwnerLock
from advanced_rag.adapters.milvus.engine_place import EnginePlace, find_engine
from advanced_rag.exceptions import MilvusConnectionError
from tests.fakes.clock import FakeClock

_TRY = """
import sys
from pathlib import Path
from advanced_rag.adapters.milvus.engine_locks import OwnerLock
print(OwnerLock(Path(sys.argv[1])).try_acquire())
"""


def another_process_gets(path: Path) -> bool:
    root = Path(__file__).resolve().parents[4]
    result = subprocess.run(
        [sys.executable, "-c", _TRY, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    return result.stdout.strip() == "True"


class TestOwnerLock:
    def test_one_instance_at_a_time_has_it_and_trying_does_not_lose_it(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        first, second = OwnerLock(path), OwnerLock(path)
        assert first.try_acquire()
        assert first.try_acquire()
        assert not second.try_acquire()
        assert not another_process_gets(path)
        second.release()
        assert not another_process_gets(path)
        first.release()
        first.release()
        assert second.try_acquire()
        second.release()
        assert another_process_gets(path)

    def test_a_forked_process_does_not_believe_it_holds_its_parents_lock(self, tmp_path: Path) -> None:
        lock = OwnerLock(tmp_path / "lock")
        assert lock.try_acquire()
        child = os.fork()
        if child == 0:
            os._exit(int(OwnerLock(tmp_path / "lock").try_acquire()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        lock.release()

    def test_a_lock_that_cannot_be_made_is_an_error_not_a_taken_one(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            OwnerLock(tmp_path / "missing" / "lock").try_acquire()


class TestChildLock:
    def test_it_is_held_as_long_as_any_copy_of_the_descriptor_is_open(self, tmp_path: Path) -> None:
        lock = ChildLock(tmp_path / "lock")
        held = lock.try_take()
        assert held is not None
        copy = os.dup(held)
        os.close(held)
        lock.write_pid(17)
        assert lock.try_take() is None
        assert lock.read_pid() == 17
        os.close(copy)
        again = lock.try_take()
        assert again is not None
        os.close(again)

    def test_a_missing_or_garbled_note_names_nobody(self, tmp_path: Path) -> None:
        lock = ChildLock(tmp_path / "lock")
        assert lock.read_pid() is None
        (tmp_path / "lock").write_text("garbled")
        assert lock.read_pid() is None

    def test_a_process_that_is_no_engine_of_ours_is_not_killed(self, tmp_path: Path) -> None:
        place = EnginePlace.below(tmp_path)
        place.make_folders()
        assert kill_former(place) is None
        ChildLock(place.child_lock).write_pid(os.getpid())
        assert kill_former(place) is None


class TestEnginePlace:
    def test_every_path_follows_from_the_data_folder(self, tmp_path: Path) -> None:
        place = EnginePlace.below(tmp_path / "a" / ".." / "data")
        assert place == EnginePlace.below(tmp_path / "data")
        assert place.folder == tmp_path / "data" / "milvus"
        assert place.socket.is_relative_to(place.folder)

    @given(length=st.integers(1, 400))
    def test_the_socket_always_fits(self, length: int) -> None:
        place = EnginePlace.below(Path("/data") / ("x" * length), temp_dir=Path("/tmp"))
        assert len(os.fsencode(place.socket)) <= 107
        assert place.socket != EnginePlace.below(Path("/data") / ("y" * length), temp_dir=Path("/tmp")).socket

    def test_folders_are_private(self, tmp_path: Path) -> None:
        place = EnginePlace.below(tmp_path)
        place.make_folders()
        place.socket.parent.chmod(0o755)
        place.make_folders()
        assert place.socket.parent.stat().st_mode & 0o777 == 0o700
        assert place.folder.stat().st_mode & 0o777 == 0o700

    def test_a_link_in_the_place_of_the_private_folder_is_refused(self, tmp_path: Path) -> None:
        place = EnginePlace.below(tmp_path)
        place.folder.mkdir()
        (tmp_path / "elsewhere").mkdir()
        place.socket.parent.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(PermissionError):
            place.make_folders()

    def test_the_log_is_emptied_once_too_long(self, tmp_path: Path) -> None:
        place = EnginePlace.below(tmp_path)
        bound_log(place, 10)
        place.make_folders()
        place.log.write_bytes(b"x" * 10)
        bound_log(place, 10)
        assert place.log.stat().st_size == 10
        bound_log(place, 9)
        assert place.log.stat().st_size == 0


class TestFindEngine:
    def test_it_is_an_executable_of_the_installed_package(self) -> None:
        program = find_engine()
        assert program.name == "milvus"
        assert os.access(program, os.X_OK)

    @pytest.mark.parametrize("package", ["no-such-package-anywhere", "pytest"])
    def test_without_one_the_setting_to_use_instead_is_named(self, package: str) -> None:
        with pytest.raises(MilvusConnectionError, match="RAG__MILVUS__URI") as caught:
            find_engine(package)
        assert not caught.value.transient


class TestRestartPolicy:
    @pytest.mark.req("R5.5")
    def test_the_backoff_doubles_then_comes_the_pause_then_all_over(self) -> None:
        policy = RestartPolicy(EngineLimits(), clock=FakeClock())
        delays = [policy.ended() for _ in range(7)]
        assert delays == [
            *((delay, False) for delay in (0.2, 0.4, 0.8, 1.6, 3.2)),
            (30.0, True),
            (0.2, False),
        ]

    @pytest.mark.req("R5.5")
    @given(lives=st.lists(st.floats(0, 100), min_size=1, max_size=60))
    def test_never_more_than_five_quick_restarts_a_minute(self, lives: list[float]) -> None:
        clock = FakeClock()
        limits = EngineLimits()
        policy = RestartPolicy(limits, clock=clock)
        quick: list[float] = []
        for life_s in lives:
            clock.advance(life_s)
            delay_s, paused = policy.ended()
            assert paused or limits.first_backoff_s <= delay_s <= limits.max_backoff_s
            if paused:
                quick.clear()
            else:
                quick.append(clock.now)
            assert sum(clock.now - ended <= limits.restart_window_s for ended in quick) <= limits.restarts_before_pause
            clock.advance(delay_s)

    def test_an_engine_that_lived_long_starts_afresh(self) -> None:
        clock = FakeClock()
        policy = RestartPolicy(EngineLimits(), clock=clock)
        for _ in range(4):
            policy.ended()
        clock.advance(61.0)
        assert policy.ended() == (0.2, False)
