from __future__ import annotations

import pytest

from advanced_rag.adapters.milvus.dialect import EMBEDDED, OLD_SERVER, SERVER, Dialect, dialect_of


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        (None, EMBEDDED),
        ("2.3.5", OLD_SERVER),
        ("v2.4.15-gpu", OLD_SERVER),
        ("2.5.0", SERVER),
        ("v2.6.2", SERVER),
        ("10.0", SERVER),
        ("master-abcdef", SERVER),
        ("", SERVER),
    ],
)
def test_the_version_decides(version: str | None, dialect: Dialect) -> None:
    assert dialect_of(version) is dialect
