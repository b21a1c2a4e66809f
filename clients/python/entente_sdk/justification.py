"""Why the caller asks: what every request carries, built in words instead of enum numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from entente.common.v1 import exchange_pb2
from entente_sdk.errors import ConfigurationError

PREFIX = "PURPOSE_"
PURPOSES: tuple[str, ...] = tuple(
    value.name.removeprefix(PREFIX) for value in exchange_pb2.Purpose.DESCRIPTOR.values if value.number
)


@dataclass(frozen=True, slots=True)
class Justification:
    """A purpose and what supports it.

    `purpose` is a name of `entente.common.v1.Purpose` in any case, with or without its prefix, with `-` or `_`:
    `Justification("investigation", case_reference="OP LANTERN")`. Raises ConfigurationError for an unknown one.
    """

    purpose: str
    legal_basis: str | None = None
    case_reference: str | None = None
    authoriser: str | None = None
    reason: str | None = None
    on_behalf_of: str | None = None

    def __post_init__(self) -> None:
        name = self.purpose.strip().upper().replace("-", "_").removeprefix(PREFIX)
        if name not in PURPOSES:
            known = ", ".join(PURPOSES)
            raise ConfigurationError(
                f"there is no purpose {self.purpose!r}; use one of {known}", reason="PURPOSE_UNKNOWN"
            )
        object.__setattr__(self, "purpose", name)

    def because(self, reason: str) -> Justification:
        """The same with a reason in the caller's words (kept sealed, for the auditor)."""
        return replace(self, reason=reason)

    def for_case(self, case_reference: str) -> Justification:
        """The same for another case."""
        return replace(self, case_reference=case_reference)

    def to_message(self) -> exchange_pb2.Justification:
        """The wire's form. What is None stays absent."""
        return exchange_pb2.Justification(
            purpose=exchange_pb2.Purpose.Value(PREFIX + self.purpose),
            legal_basis=self.legal_basis,
            case_reference=self.case_reference,
            authoriser=self.authoriser,
            reason=self.reason,
            on_behalf_of=self.on_behalf_of,
        )
