"""Feature flags: a frozen value, handed in; each flag off means that its calls are not made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeatureFlags:
    """What may be switched off, by `RAG__FEATURES__…`."""

    enable_reranking: bool = False
    enable_sparse_search: bool = True
    enable_domain_search: bool = True
    enable_mmr: bool = False
    enable_cache: bool = True
