# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""The client: one profile, one secure channel, every service.

with Entente.from_profile("north") as entente:
    answer = entente.reports.get(record_id)
    answer.message.report, answer.receipt.index, answer.raw
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from entente_sdk._sync.agreements import Agreements
from entente_sdk._sync.audience import SyncAudience
from entente_sdk._sync.audit import Audit
from entente_sdk._sync.calls import DEFAULT_SECONDS, Calls
from entente_sdk._sync.directory import Directory
from entente_sdk._sync.enrolment import Enrolment
from entente_sdk._sync.explanation import SyncExplanations
from entente_sdk._sync.hits import Hits
from entente_sdk._sync.policy import SyncPolicy
from entente_sdk._sync.reports import Reports
from entente_sdk._sync.revocation import Revocations
from entente_sdk.profile import Profile
from entente_sdk.retries import RetryPolicy
from entente_sdk.settings import load_profile
from entente_sdk.tokens import TokenSource


class Entente:
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
        self._calls = Calls(profile, tokens, retry or RetryPolicy(), seconds)
        self.reports = Reports(self._calls)
        self.hits = Hits(self._calls)
        self.directory = Directory(self._calls)
        self.audit = Audit(self._calls)
        self.enrolment = Enrolment(self._calls)
        self.revocations = Revocations(self._calls)
        self.agreements = Agreements(self._calls)
        self.explanations = SyncExplanations(self._calls)
        self.audience = SyncAudience(self._calls)
        self.policy = SyncPolicy(self._calls)

    @classmethod
    def from_profile(cls, name: str | None = None) -> Self:
        """With the profile of that name, or the one that file and environment choose. Raises ConfigurationError."""
        return cls(load_profile(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._calls.close()
