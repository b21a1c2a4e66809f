# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""One logical call: token, attempts, refusal or verified answer.

MUSTs:
1. the request is serialised once: a repeated attempt sends the same bytes, so the same idempotency key;
2. nothing of a response is handed over before its receipt is verified;
3. every failure leaves as an `EntenteError`, never as a transport's exception;
4. a refused token is forgotten, and the call repeated once with a fresh one; after a refused certificate, once with
   the one that has replaced it on disk, if one has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from entente_sdk import _handshake, _runtime_sync
from entente_sdk._sync.connection import Connection, Line
from entente_sdk._methods import Method
from entente_sdk._refusals import Failure, failure
from entente_sdk._verification import Exchange, moment_us
from entente_sdk.answers import Answer
from entente_sdk.errors import ConfigurationError, HandshakeError
from entente_sdk.justification import Justification
from entente_sdk.profile import Profile
from entente_sdk.retries import CERTIFICATE_REFUSED, TOKEN_REFUSED, Budget, RetryPolicy
from entente_sdk.tokens import TokenSource

DEFAULT_SECONDS = 30.0
M = TypeVar("M", bound=Message)


class Calls:
    """What every service of the client calls through.

    Args:
        profile: whom to call and who we are.
        tokens: where tokens come from.
        retry: how attempts are repeated.
        seconds: the deadline of a call, all its attempts together.
        not_before: gives the oldest time that a receipt may have (microseconds since the epoch).
    """

    def __init__(
        self,
        profile: Profile,
        tokens: TokenSource,
        retry: RetryPolicy,
        seconds: float = DEFAULT_SECONDS,
        *,
        not_before: Callable[[], int] = moment_us,
    ) -> None:
        self.profile = profile
        self.retry = retry
        self.tokens = tokens
        self.connection = Connection(profile)
        self._keys = profile.trusted_logs()
        self._seconds = seconds
        self._not_before = not_before

    def unary(self, method: Method[M], request: Message, seconds: float | None = None) -> Answer[M]:
        """The verified answer. Raises EntenteError."""
        exchange = self.exchange(method.path, request.SerializeToString())
        budget = Budget(self.retry, self._seconds if seconds is None else seconds)
        while True:
            raw = self._attempt(exchange, budget)
            if raw is not None:
                return exchange.answer(method, raw)

    def _attempt(self, exchange: Exchange, budget: Budget) -> bytes | None:
        """The response's bytes, or None when it is time for another attempt. Raises EntenteError."""
        line = self.connection.line()
        try:
            metadata = self.metadata(line)
            raw = line.transport.unary(exchange.path, exchange.request, metadata, budget.remaining_seconds())
            line.answered = True
            return raw
        except grpc.RpcError as error:
            failed = failure(error)
        finally:
            self.connection.release(line)
        if not budget.renewed and self.renew(failed, metadata):
            budget.renewed = True
            return None
        if budget.attempts_made == 0:
            self.raise_handshake(failed, line)
        wait = budget.next_wait(failed.code, failed.retry_after_s)
        if wait is None:
            raise failed.error(exchange) from None
        _runtime_sync.sleep(wait)
        return None

    def renew(self, failed: Failure, metadata: _runtime_sync.Metadata) -> bool:
        """Forget what was refused; whether another attempt has something else to show."""
        if failed.reason in TOKEN_REFUSED:
            self.tokens.forget(dict(metadata)["authorization"].removeprefix("Bearer "))
            self.connection.look()
            return True
        return failed.reason in CERTIFICATE_REFUSED and self.connection.look()

    def exchange(self, path: str, request: bytes) -> Exchange:
        """What the receipt of an answer to these bytes must bind."""
        return Exchange(path, request, self._not_before(), self._keys)

    def metadata(self, line: Line) -> _runtime_sync.Metadata:
        """With a current token for the line's certificate. Raises ConfigurationError when there is none to be had."""
        binding = line.material.thumbprint
        token = self.tokens.cached(binding) or _runtime_sync.blocking(lambda: self.tokens.current(binding))
        return (("authorization", f"Bearer {token}"),)

    def raise_handshake(self, failed: Failure, line: Line) -> None:
        """Raise HandshakeError where TLS is what fails. Looked at until a first answer has shown that it does not."""
        if failed.info is not None:
            line.answered = True
        if line.answered or failed.code is not grpc.StatusCode.UNAVAILABLE:
            return
        found: HandshakeError | None = _runtime_sync.blocking(lambda: _handshake.explain(self.profile))
        if found is not None:
            raise found from None

    def justification(self, given: Justification | None) -> Justification:
        """The call's own, or the profile's. Raises ConfigurationError when neither says why."""
        found = given or self.profile.justification
        if found is None:
            raise ConfigurationError(
                "the call states no purpose: pass a justification, or set purpose in the profile",
                reason="PURPOSE_MISSING",
            )
        return found

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self.connection.close()
