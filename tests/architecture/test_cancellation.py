"""Cancellation reaches what it is meant for: nothing swallows it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "advanced_rag"
EVERYTHING = {"BaseException", "CancelledError", "BaseExceptionGroup"}

# Places that end a cancellation on purpose: "file:function" and why.
ALLOWED = {
    "adapters/milvus/errors.py:translated": "a cancellation that nobody asked for is a channel that was closed",
    "adapters/file_parsers/parser.py:_uninterrupted": "hands it to its caller, who raises it once the child is dead",
    "api/middleware/disconnect.py:__call__": "ends the cancellation that it has caused itself, by asyncio's own count",
    "concurrency/uninterrupted.py:uninterrupted": "raises it once the work has ended",
    "concurrency/async_executor.py:gather_bounded": "takes the first error out of the group; cancellation is no group",
}


def swallowing(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(function, line) of each bare `except`, and of each catch of a cancellation that does not raise again."""
    for function, handler in handlers(tree):
        if handler.type is None or (caught(handler.type) & EVERYTHING and not raises(handler)):
            yield function, handler.lineno


def handlers(tree: ast.AST, function: str = "<module>") -> Iterator[tuple[str, ast.ExceptHandler]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ExceptHandler):
            yield function, node
        inside = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from handlers(node, inside)


def caught(expression: ast.expr) -> set[str]:
    names = expression.elts if isinstance(expression, ast.Tuple) else [expression]
    return {name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "") for name in names}


def raises(handler: ast.ExceptHandler) -> bool:
    """Whether the handler's own body ends in a bare `raise`, or raises what it caught, on every path that it has."""
    return bool(handler.body) and _always_raises(handler.body, handler.name)


def _always_raises(body: list[ast.stmt], name: str | None) -> bool:
    last = body[-1]
    match last:
        case ast.Raise(exc=None):
            return True
        case ast.Raise(exc=ast.Name(id=caught_name)):
            return caught_name == name
        case ast.If(body=then, orelse=otherwise):
            return bool(otherwise) and _always_raises(then, name) and _always_raises(otherwise, name)
        case ast.With(body=inner) | ast.AsyncWith(body=inner):
            return _always_raises(inner, name)
        case ast.Try(body=inner, finalbody=final):
            return _always_raises(final or inner, name)
        case _:
            return False


def found() -> dict[str, int]:
    return {
        f"{path.relative_to(PACKAGE).as_posix()}:{function}": line
        for path in sorted(PACKAGE.rglob("*.py"))
        for function, line in swallowing(ast.parse(path.read_text("utf-8")))
    }


@pytest.mark.req("R3.10")
def test_nothing_in_the_package_swallows_a_cancellation() -> None:
    unexpected = {place: line for place, line in found().items() if place not in ALLOWED}
    assert unexpected == {}, "catch Exception, or raise again; what is meant belongs to ALLOWED with its reason"


@pytest.mark.req("R3.10")
def test_every_exception_to_the_rule_is_still_needed() -> None:
    assert set(ALLOWED) <= set(found())


@pytest.mark.req("R3.10")
def test_the_check_sees_what_it_forbids() -> None:
    guilty = """
def a():
    try: f()
    except: pass
def b():
    try: f()
    except BaseException: log()
def c():
    try: f()
    except (ValueError, asyncio.CancelledError) as e: log()
def d():
    try: f()
    except BaseException as e:
        if x: raise
"""
    innocent = """
def a():
    try: f()
    except Exception: pass
def b():
    try: f()
    except BaseException:
        clear_up()
        raise
def c():
    try: f()
    except BaseException as e:
        if x: raise
        else: raise e
"""
    assert [function for function, _ in swallowing(ast.parse(guilty))] == ["a", "b", "c", "d"]
    assert list(swallowing(ast.parse(innocent))) == []
