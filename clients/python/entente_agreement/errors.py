"""What is wrong with an agreement."""

from __future__ import annotations


class AgreementError(ValueError):
    """An agreement that cannot be drafted, signed or concluded.

    Args:
        path: where in the document or its signatures; empty: the whole.
        why: what is wrong, and what to do.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path
        self.why = why
