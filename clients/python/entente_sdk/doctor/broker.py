"""What the broker says of us: one WhoAmI, and from its answer or refusal the clocks, the policy and the log's key.

The answer's age is not judged here, as every other call does: a clock that is wrong is what is looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._sync.calls import Calls
from entente_sdk.advice import advice_for
from entente_sdk.answers import Answer, Receipt
from entente_sdk.doctor.finding import Finding, fail, failed, ok, skip, warn
from entente_sdk.errors import EntenteError, ReceiptError, UnavailableError
from entente_sdk.expiry import span
from entente_sdk.profile import Profile
from entente_sdk.retries import RetryPolicy
from entente_sdk.tokens import TokenSource, claims, moment

CLOCK, IDENTITY, POLICY, LOG_KEY = "clock", "identity", "policy", "log key"
CALL_SECONDS = 10.0
# The broker takes tokens from 5 s ahead of it; the SDK takes receipts from 120 s before the call.
TOLERATED_SECONDS, BAD_SECONDS = 5.0, 60.0
APPOINTMENT = "Ask the broker's registrars for an appointment to this role; a role in the token alone is not enough."


@dataclass(frozen=True, slots=True)
class Heard:
    """The broker's answer or refusal, and this machine's clock when it came."""

    at: float
    answer: Answer[wire.WhoAmIResponse] | None = None
    error: EntenteError | None = None

    @property
    def receipt(self) -> Receipt | None:
        """The verified receipt of either."""
        if self.answer is not None:
            return self.answer.receipt
        return self.error.receipt if self.error is not None else None

    @property
    def broker_time(self) -> float | None:
        """The broker's clock, from its answer or from the ledger's entry."""
        if self.answer is not None and self.answer.message.HasField("broker_time"):
            return self.answer.message.broker_time.ToNanoseconds() / 1e9
        try:
            leaf = self.receipt.leaf if self.receipt is not None else {}
            return datetime.fromisoformat(str(leaf["time_utc"])).timestamp()
        except (KeyError, ValueError):
            return None


def ask(profile: Profile, token: str, clock: Callable[[], float]) -> Heard:
    """Call WhoAmI once. Renews nothing: an examination changes nothing."""
    calls = Calls(
        replace(profile, renew_command=()),
        TokenSource(lambda: token),
        RetryPolicy(attempts=2),
        CALL_SECONDS,
        not_before=lambda: 0,
    )
    began = clock()
    try:
        answer = calls.unary(_methods.WHO_AM_I, wire.WhoAmIRequest())
        return Heard((began + clock()) / 2, answer=answer)
    except EntenteError as error:
        return Heard((began + clock()) / 2, error=error)
    finally:
        calls.close()


def examine_clock(heard: Heard, token: str) -> Finding:
    """This machine's clock and the token issuer's, against the broker's."""
    broker = heard.broker_time
    if broker is None:
        return skip(CLOCK, "the broker gave no answer that proves its time")
    issued = moment(claims(token), "iat")
    if issued is not None and issued - broker > TOLERATED_SECONDS:
        cause = f"the token was issued {span(issued - broker)} in the future of the broker's clock"
        return fail(
            CLOCK, cause, "Set the issuer's clock by NTP; a token is refused until the broker's clock is there."
        )
    difference = heard.at - broker
    if abs(difference) <= TOLERATED_SECONDS:
        return ok(CLOCK, f"this machine and the broker differ by {abs(difference):.1f} s")
    side = "ahead of" if difference > 0 else "behind"
    cause = f"this machine's clock is {span(difference)} {side} the broker's"
    fix = "Set this machine's clock by NTP; if it is right, tell the broker's operator."
    return (fail if abs(difference) > BAD_SECONDS else warn)(CLOCK, cause, fix)


def examine_identity(heard: Heard) -> Finding:
    """Whom the broker takes us for."""
    if heard.error is not None:
        if isinstance(heard.error, ReceiptError):
            return skip(IDENTITY, "the answer's receipt does not hold, so it is not read")
        return failed(IDENTITY, heard.error)
    assert heard.answer is not None
    me = heard.answer.message
    return ok(IDENTITY, f"{me.user or '-'} of {me.agency}, as {', '.join(me.roles) or 'no role'}")


def examine_policy(profile: Profile, heard: Heard) -> Finding:
    """Whether anything may be called for the profile's purpose, and whether every role counts."""
    if heard.answer is None:
        return skip(POLICY, "the broker did not say what we may do")
    me = heard.answer.message
    others = [may for may in me.capabilities if may.allowed and not may.method.endswith("/WhoAmI")]
    if profile.purpose is not None:
        wanted = exchange_pb2.Purpose.Value(f"PURPOSE_{profile.purpose}")
        others = [may for may in others if wanted in may.purposes]
    about = f"for {profile.purpose}" if profile.purpose is not None else "for any purpose"
    if not others:
        return fail(
            POLICY,
            f"no method may be called {about}",
            "See with `entente whoami` the purposes and roles of your token; ask your agency's administrator for more.",
        )
    if me.unappointed_roles:
        return warn(POLICY, f"roles that do not count here: {', '.join(me.unappointed_roles)}", APPOINTMENT)
    if profile.purpose is None:
        return warn(POLICY, "the profile states no purpose", "Set purpose in the profile, or state one with each call.")
    return ok(POLICY, f"{len(others)} methods may be called {about}")


def examine_log_key(heard: Heard) -> Finding:
    """Whether the pinned key verifies the broker's receipt."""
    receipt = heard.receipt
    if receipt is not None:
        return ok(LOG_KEY, f"entry {receipt.index} of {receipt.checkpoint.origin} verified")
    if isinstance(heard.error, ReceiptError):
        return failed(LOG_KEY, heard.error)
    if isinstance(heard.error, UnavailableError):
        return skip(LOG_KEY, "there was no answer")
    return warn(LOG_KEY, "the refusal came without a receipt", advice_for("LEDGER_UNAVAILABLE", ""))
