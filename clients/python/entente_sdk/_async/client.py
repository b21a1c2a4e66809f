"""The client: one profile, one secure channel, every service.

with Entente.from_profile("north") as entente:
    answer = entente.reports.get(record_id)
    answer.message.report, answer.receipt.index, answer.raw
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from entente_sdk._async.agreements import AsyncAgreements
from entente_sdk._async.audience import AsyncAudience
from entente_sdk._async.audit import AsyncAudit
from entente_sdk._async.calls import DEFAULT_SECONDS, AsyncCalls
from entente_sdk._async.directory import AsyncDirectory
from entente_sdk._async.enrolment import AsyncEnrolment
from entente_sdk._async.explanation import AsyncExplanations
from entente_sdk._async.hits import AsyncHits
from entente_sdk._async.policy import AsyncPolicy
from entente_sdk._async.reports import AsyncReports
from entente_sdk._async.revocation import AsyncRevocations
from entente_sdk.profile import Profile
from entente_sdk.retries import RetryPolicy
from entente_sdk.settings import load_profile
from entente_sdk.tokens import TokenSource


class AsyncEntente:
    """A client of one broker, as one agency.

    Args:
        profile: whom to call and who we are.
        token: yields a current access token, in place of the profile's token_command or token_file; may block.
        retry: how attempts are repeated.
        seconds: the deadline of a call, all its attempts together.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        token: Callable[[], str] | None = None,
        retry: RetryPolicy | None = None,
        seconds: float = DEFAULT_SECONDS,
    ) -> None:
        tokens = TokenSource(token) if token is not None else TokenSource.of(profile)
        self._calls = AsyncCalls(profile, tokens, retry or RetryPolicy(), seconds)
        self.reports = AsyncReports(self._calls)
        self.hits = AsyncHits(self._calls)
        self.directory = AsyncDirectory(self._calls)
        self.audit = AsyncAudit(self._calls)
        self.enrolment = AsyncEnrolment(self._calls)
        self.revocations = AsyncRevocations(self._calls)
        self.agreements = AsyncAgreements(self._calls)
        self.explanations = AsyncExplanations(self._calls)
        self.audience = AsyncAudience(self._calls)
        self.policy = AsyncPolicy(self._calls)

    @classmethod
    def from_profile(cls, name: str | None = None) -> Self:
        """With the profile of that name, or the one that file and environment choose. Raises ConfigurationError."""
        return cls(load_profile(name))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._calls.close()
