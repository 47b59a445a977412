from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.telemetry.context import RequestContext, trace_of
from advanced_rag.telemetry.log_lines import FIELDS_ATTRIBUTE, LogEntry, line_of


def _record(
    message: str, *args: object, fields: dict[str, object] | None = None, error: bool = False
) -> logging.LogRecord:
    exc_info = sys.exc_info() if error else None
    record = logging.LogRecord("advanced_rag.x", logging.INFO, "x.py", 1, message, args, exc_info)
    if fields is not None:
        setattr(record, FIELDS_ATTRIBUTE, fields)
    return record


def _line(record: logging.LogRecord, context: RequestContext | None = None) -> dict[str, Any]:
    line = line_of(LogEntry.of(record, context))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    parsed: dict[str, Any] = json.loads(line)
    return parsed


@pytest.mark.req("R10.3")
def test_a_line_says_when_what_and_for_whom() -> None:
    trace = trace_of(f"00-{'a' * 32}-{'b' * 16}-01")
    context = RequestContext("r1", trace, route="/v1/retrieve", tenant="acme")
    line = _line(_record("asked %s", "twice", fields={"status": 200, "degraded": ("sparse:open",)}), context)
    assert line["time"].endswith("Z")
    assert line["time"][10] == "T"
    del line["time"]
    assert line == {
        "level": "INFO",
        "logger": "advanced_rag.x",
        "message": "asked twice",
        "request_id": "r1",
        "trace_id": "a" * 32,
        "tenant": "acme",
        "route": "/v1/retrieve",
        "status": 200,
        "degraded": ["sparse:open"],
    }


@pytest.mark.req("R8.13")
@given(st.text(max_size=60))
@pytest.mark.parametrize("_", [None])
def test_one_line_stays_one_line_whatever_it_says(_: None, text: str) -> None:
    line = line_of(LogEntry.of(_record("%s", text, fields={"x": text}), None))
    assert len(line.decode("ascii").splitlines()) == 1
    assert "\x1b" not in line.decode()


@pytest.mark.req("R8.13")
def test_payloads_that_forge_lines_do_not() -> None:
    for payload in ("a\r\nlevel: INFO", "\x1b[31mred", "a\u2028b\u2029c", "a\x85b", "\0"):
        assert _line(_record(payload))["message"] == payload


@pytest.mark.req("R8.13")
def test_secrets_and_long_values_are_kept_out_of_lines() -> None:
    secret = "rag_0a1B2c3D_" + "k" * 32
    line = line_of(LogEntry.of(_record("used %s", secret, fields={"key": secret, "text": "x" * 9_000}), None))
    assert b"k" * 32 not in line
    assert len(line) < 4_000


def test_a_field_cannot_take_the_place_of_a_member() -> None:
    assert _line(_record("true", fields={"message": "false", "level": "NONE"}))["message"] == "true"


def test_an_exception_is_in_its_line_shortened_from_the_front() -> None:
    try:
        _fail("x" * 20_000 + " password=hunter2222 the end")
    except ValueError:
        line = _line(_record("failed", error=True))
    assert line["exception"].endswith("the end\n")
    assert "hunter2222" not in line["exception"]
    assert len(line["exception"]) < 9_000


def test_values_that_json_cannot_say_are_said_as_text() -> None:
    fields: dict[str, object] = {"nan": float("nan"), "set": {1}, "object": object, "none": None, "yes": True}
    line = _line(_record("x", fields=fields))
    assert (line["nan"], line["set"], line["none"], line["yes"]) == ("nan", [1], None, True)


def _fail(message: str) -> None:
    raise ValueError(message)


class _Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_line_that_cannot_be_written_says_so() -> None:
    line = _line(_record("x", fields={"y": _Unspeakable()}))
    assert line["message"].startswith("unwritable: RuntimeError")
