from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.sql.collection_registry import physical_name
from advanced_rag.domain.documents import Lane

domains = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=128)


def test_a_lane_without_domain_is_named_after_itself() -> None:
    assert physical_name(Lane.SEMANTIC, "", 3) == "rag_semantic_v3"
    assert physical_name(Lane.DOMAIN, "legal", 1) == "rag_domain_legal_v1"


@given(domains)
def test_every_domain_gets_a_name_that_milvus_takes(domain: str) -> None:
    assert re.fullmatch(r"rag_domain_[A-Za-z0-9_]{0,200}v1", physical_name(Lane.DOMAIN, domain, 1))


@given(domains, domains)
def test_two_domains_never_share_a_collection(first: str, second: str) -> None:
    same = physical_name(Lane.DOMAIN, first, 1) == physical_name(Lane.DOMAIN, second, 1)
    assert same == (first == second)
