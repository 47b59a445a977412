"""What a child takes from itself: looked at from inside of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import advanced_rag
from advanced_rag.adapters.file_parsers.limits import ParseLimits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")

PROLOGUE = """
import json, os, resource, signal, socket, subprocess, sys, tempfile
sys.path.insert(0, {root!r})
from advanced_rag.adapters.file_parsers.confinement import confine, reach_nothing
from advanced_rag.adapters.file_parsers.limits import ParseLimits
"""
ROOT = str(Path(advanced_rag.__file__).parent.parent)


def inside(code: str, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    """What a confined process prints."""
    confined = f"confine(ParseLimits(), {os.getpid() if parent is None else parent})\n"
    return subprocess.run(
        [sys.executable, "-I", "-c", PROLOGUE.format(root=ROOT) + confined + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def said(code: str) -> Any:
    return json.loads(inside(f"print(json.dumps({code}))").stdout)


@pytest.mark.req("R8.10")
def test_the_limits_hold_before_the_file_is_opened() -> None:
    limits = ParseLimits()
    names = ("AS", "CPU", "FSIZE", "NOFILE", "CORE")
    soft = said("[resource.getrlimit(getattr(resource, 'RLIMIT_' + n))[0] for n in " + repr(names) + "]")
    assert dict(zip(names, soft, strict=True)) == {
        "AS": limits.memory_bytes,
        "CPU": limits.cpu_s,
        "FSIZE": limits.written_file_bytes,
        "NOFILE": limits.open_files,
        "CORE": 0,
    }
    assert (limits.memory_bytes, limits.cpu_s, limits.wall_s) == (1_000_000_000, 20, 30)
    assert (limits.written_file_bytes, limits.open_files) == (64_000_000, 64)


def test_it_stands_back_for_the_service() -> None:
    assert said("os.nice(0)") >= 10
    assert 30 <= said("signal.getitimer(signal.ITIMER_REAL)[0]") <= 35


@pytest.mark.req("R8.4")
def test_it_has_no_network_where_the_kernel_grants_that() -> None:
    granted = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    if not granted:
        pytest.skip("this kernel grants no network namespaces")
    assert said("[line.split(':')[0].strip() for line in open('/proc/net/dev')][2:]") == ["lo"]
    failed = inside("socket.create_connection(('127.0.0.1', 9))").stderr
    assert "unreachable" in failed


@pytest.mark.req("R8.10")
def test_it_stands_in_a_folder_that_is_gone() -> None:
    assert "FileNotFoundError" in inside("open('relative', 'w')").stderr
    assert said("os.readlink('/proc/self/cwd')").endswith("(deleted)")


@pytest.mark.req("R8.4", "R8.10")
@pytest.mark.parametrize(
    "code",
    [
        "socket.socket()",
        "socket.getaddrinfo('localhost', 80)",
        "subprocess.run(['true'])",
        "os.system('true')",
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "open('/tmp/x', 'w')",
        "open('/dev/null', 'ab')",
        "os.open('/tmp/x', os.O_CREAT)",
        "os.mkdir('/tmp/x')",
        "os.remove('/tmp/x')",
        "os.kill(1, 0)",
        "tempfile.mkstemp()",
    ],
)
def test_python_code_that_reads_a_file_reaches_nothing(code: str) -> None:
    outcome = inside(f"reach_nothing()\n{code}")
    assert outcome.returncode == 1
    assert "PermissionError" in outcome.stderr or "FileNotFoundError" in outcome.stderr


def test_reading_and_importing_still_work() -> None:
    assert inside("reach_nothing()\nimport wave; print(open('/proc/self/stat').read()[:1] != '')").stdout == "True\n"


def test_a_child_whose_parent_is_gone_ends() -> None:
    outcome = inside("print('still here')", parent=1)
    assert (outcome.returncode, outcome.stdout) == (1, "")
