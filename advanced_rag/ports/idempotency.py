"""The port to idempotency keys. Errors as in `ports.documents`; keys of other tenants and routes are other keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from advanced_rag.domain.documents import Tenant
from advanced_rag.ports.commits import KeptAnswer


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with a key; two with the same `fingerprint` ask for the same."""

    tenant: Tenant
    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """This request is to be executed by whoever holds this. `owner` is the mark of the claim."""

    tenant: Tenant
    route: str
    key: str
    owner: str

    def kept(self, status: int, headers: Mapping[str, str], body: str) -> KeptAnswer:
        """The answer made under this claim."""
        return KeptAnswer(self.tenant, self.route, self.key, self.owner, status, headers, body)


@dataclass(frozen=True, slots=True)
class KeyRunning:
    """The first request with that key is still running."""


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """That key came with another request before."""


class IdempotencyStore(Protocol):
    """Keys and the answers kept under them."""

    async def claim(
        self, request: KeyedRequest, *, lease_s: float, keep_s: float
    ) -> KeyClaim | KeptAnswer | KeyRunning | KeyTaken:
        """Of any number that ask at once one gets the claim, for `lease_s`; a claim whose lease has ended goes on.

        An answer kept for longer than `keep_s` is forgotten.
        """
        ...

    async def renew(self, claim: KeyClaim, *, lease_s: float) -> bool:
        """The claim lasts `lease_s` from now. False where it is finished or no longer ours."""
        ...

    async def finish(self, answer: KeptAnswer) -> None:
        """Keep the answer. Changes nothing where its claim is finished already or no longer ours."""
        ...

    async def release(self, claim: KeyClaim) -> None:
        """Forget the key: the next request with it is executed. Changes nothing where it is finished or not ours."""
        ...

    async def expire(self, *, keep_s: float, limit: int) -> int:
        """Forget up to `limit` keys older than that; how many."""
        ...
