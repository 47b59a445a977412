"""Nothing is awaited or yielded while a `threading` lock is held: the whole event loop would wait for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "advanced_rag"
LEAVES_THE_LOCK_HELD = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)


def held_across(tree: ast.AST) -> Iterator[int]:
    """Lines on which something is awaited or yielded inside a plain `with …lock`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and any(is_lock(item.context_expr) for item in node.items):
            for statement in node.body:
                yield from (inner.lineno for inner in ast.walk(statement) if isinstance(inner, LEAVES_THE_LOCK_HELD))


def is_lock(expression: ast.expr) -> bool:
    name = expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")
    return name.lower().endswith("lock")


@pytest.mark.req("R1.10")
@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_lock_is_held_across_an_await(path: Path) -> None:
    assert list(held_across(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.req("R1.10")
def test_the_check_sees_what_it_forbids() -> None:
    guilty = """
async def f(self):
    with self._lock:
        if True:
            await g()
    with self._lock, other:
        yield 1
    with lock:
        async with h(): pass
    with self._lock:
        x = 1
    await g()
"""
    assert sorted(held_across(ast.parse(guilty))) == [5, 7, 9]
