"""The one interface of policy engines.

An engine answers two questions about a caller and never sees a record. What it answers is checked elsewhere
(`answers.py`) and held under the broker's own ceiling (`ceiling.py`): engines are not trusted with more than a say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """An unchecked JSON document, and the engine's own id of the decision (empty: it gives none)."""

    document: object
    decision_id: str = ""


class PolicyEngine(Protocol):
    """Both questions are canonical JSON. Every method raises UnavailableError when the engine cannot answer."""

    @property
    def name(self) -> str:
        """As it stands on the audit log: `embedded` or `opa`."""
        ...

    @property
    def bundle(self) -> str:
        """The revision of the policies that it answers from: the hash of their files, hex."""
        ...

    async def start(self) -> None:
        """Get ready, and evaluate every entry point once: a policy that cannot answer is found now."""
        ...

    async def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        ...

    async def method(self, question: bytes) -> EngineAnswer:
        """`entente/method`: may this caller call this method for this purpose?"""
        ...

    async def grant(self, question: bytes) -> EngineAnswer:
        """`entente/grant`: on which marks does this caller see which classes?"""
        ...
