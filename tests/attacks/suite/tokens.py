"""How a token case is written: a name, what makes the metadata from the issuer's mint, and how it must end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.attacks.suite.case import Case, End, Expected, Need, Observed, refused
from tests.attacks.suite.minting import Mint
from tests.attacks.suite.target import WHO_AM_I, Target, bearer
from tests.attacks.suite.wire import Header, call_headers

FAMILY = "tokens"

MALFORMED = refused("TOKEN_MALFORMED")
INVALID = refused("TOKEN_INVALID")
EXPIRED = refused("TOKEN_EXPIRED")
MISSING = refused("TOKEN_MISSING")
NOT_BOUND = refused("TOKEN_NOT_BOUND")
ISSUER = refused("ISSUER_NOT_ALLOWED")

Make = Callable[[Mint], str]
MakeHeaders = Callable[[Mint], Sequence[Header]]
Table = dict[str, tuple[Make, Expected]]


def token_cases(table: Table, *, needs: frozenset[Need] = frozenset({Need.ISSUER_KEY})) -> list[Case]:
    """Each entry as one call with that bearer token."""
    return [
        _case(name, lambda mint, make=make: (bearer(make(mint)),), end, needs) for name, (make, end) in table.items()
    ]


def header_cases(table: dict[str, tuple[MakeHeaders, Expected]]) -> list[Case]:
    """Each entry as one call with exactly those metadata."""
    return [_case(name, make, end, frozenset({Need.ISSUER_KEY})) for name, (make, end) in table.items()]


def _case(name: str, make: MakeHeaders, end: Expected, needs: frozenset[Need]) -> Case:
    async def attempt(target: Target) -> Observed:
        headers = make(target.identity.minting)
        if end.end is not End.CORE:
            return await target.ask(*headers)
        # What the core refuses may take its connection with it, and with that the calls of other cases.
        async with target.fresh() as connection:
            return await connection.call(call_headers(WHO_AM_I, *headers), seconds=5)

    return Case(FAMILY, name, end, attempt, needs)


def table(end: Expected, **makes: Make) -> Table:
    """Several that must end alike."""
    return {name: (make, end) for name, make in makes.items()}
