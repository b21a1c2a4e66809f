"""What an agency uses, and the refusal when it is too much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from broker.config import LimitsSection
from broker.domain.caller import Caller, Peer


class Limits:
    """One per worker."""

    def __init__(self, section: LimitsSection) -> None:
        self._section = section

    def call(self, peer: Peer, address: str) -> None:
        """Count a call. Raises LimitError (LIMIT_EXCEEDED, with the seconds to wait)."""

    def spent(self, who: Peer | Caller, size: int) -> None:
        """Count bytes that went either way."""

    @contextlib.contextmanager
    def stream(self, peer: Peer) -> Iterator[None]:
        """A place among the agency's streams, while it lasts. Raises LimitError."""
        yield
