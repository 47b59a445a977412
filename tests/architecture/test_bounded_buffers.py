"""No buffer of the service grows without bound: queues and deques have a size, caches an eviction."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "advanced_rag"
QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"}
DICTIONARIES = {"dict", "defaultdict", "OrderedDict", "WeakValueDictionary"}
MEMORY = ("cache", "memo", "seen", "history", "buffer", "queue", "backlog", "pending", "waiting")

# Buffers that something else bounds: "file:name" and what does.
ALLOWED = {
    "telemetry/fault_log.py:_seen": "beyond a thousand names the one not seen for longest is dropped",
}


def unbounded(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, line) of each queue, deque, memoizing decorator and dictionary named like a memory that has no bound."""
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from _unbounded_call(node)
            case ast.Assign(targets=targets, value=value):
                yield from _growing_memory(targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _growing_memory([target], value)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for decorator in node.decorator_list:
                    if name_of(decorator) == "cache":
                        yield node.name, node.lineno


def _unbounded_call(call: ast.Call) -> Iterator[tuple[str, int]]:
    name = name_of(call.func)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    positional = len(call.args)
    if name in QUEUES and (name == "SimpleQueue" or not (positional or is_bound(keywords.get("maxsize")))):
        yield name, call.lineno
    if name == "deque" and not (positional > 1 or is_bound(keywords.get("maxlen"))):
        yield name, call.lineno
    if name == "lru_cache" and "maxsize" in keywords and not is_bound(keywords["maxsize"]):
        yield name, call.lineno


def _growing_memory(targets: list[ast.expr], value: ast.expr) -> Iterator[tuple[str, int]]:
    """A module's or an object's empty dictionary, set or list; a local one ends with its function."""
    empty = isinstance(value, ast.Dict) and not value.keys
    empty = empty or (isinstance(value, ast.Call) and name_of(value.func) in DICTIONARIES | {"set", "list"})
    empty = empty or (isinstance(value, ast.List) and not value.elts)
    for target in targets:
        name = target.attr if isinstance(target, ast.Attribute) else ""
        if isinstance(target, ast.Name) and target.id.lstrip("_").isupper():
            name = target.id
        if empty and any(word in name.lower() for word in MEMORY):
            yield name, target.lineno


def name_of(expression: ast.expr) -> str:
    match expression:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Subscript(value=value):
            return name_of(value)
        case _:
            return ""


def is_bound(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and not value.value)


def found() -> dict[str, int]:
    return {
        f"{path.relative_to(PACKAGE).as_posix()}:{name}": line
        for path in sorted(PACKAGE.rglob("*.py"))
        for name, line in unbounded(ast.parse(path.read_text("utf-8")))
    }


@pytest.mark.req("R4.6")
def test_every_buffer_of_the_package_has_a_bound() -> None:
    unexpected = {place: line for place, line in found().items() if place not in ALLOWED}
    assert unexpected == {}, "give it a size; what something else bounds belongs to ALLOWED with its reason"


@pytest.mark.req("R4.6")
def test_every_exception_to_the_rule_is_still_needed() -> None:
    assert set(ALLOWED) <= set(found())


@pytest.mark.req("R4.6")
def test_the_check_sees_what_it_forbids() -> None:
    guilty = """
a = asyncio.Queue()
b = queue.Queue(maxsize=0)
c = deque()
d = deque(maxlen=None)
e = collections.deque([1, 2])
class F:
    def __init__(self):
        self._cache: dict[str, int] = {}
        self.seen_ids = set()
@functools.cache
def g(x): ...
@lru_cache(maxsize=None)
def h(x): ...
_MEMO = dict()
i = queue.SimpleQueue()
j: deque[int] = deque[int]()
"""
    innocent = """
a = asyncio.Queue(100)
b = queue.Queue(maxsize=size)
c = deque(maxlen=10)
d = deque([], 10)
def f():
    seen = set()
    cache = {}
class F:
    def __init__(self):
        self._cache = LRUCache(100)
        self.names = {}
@lru_cache(maxsize=128)
def h(x): ...
_QUEUES = {"a": 1}
"""
    lines = sorted(line for _, line in unbounded(ast.parse(guilty)))
    assert lines == [2, 3, 4, 5, 6, 9, 10, 12, 13, 15, 16, 17]
    assert list(unbounded(ast.parse(innocent))) == []
