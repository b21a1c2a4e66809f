"""One logical call: token, attempts, refusal or verified answer.

MUSTs:
1. the request is serialised once: a repeated attempt sends the same bytes, so the same idempotency key;
2. nothing of a response is handed over before its receipt is verified;
3. every failure leaves as an `EntenteError`, never as a transport's exception.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from entente_sdk import _handshake, _runtime_async
from entente_sdk._methods import Method
from entente_sdk._refusals import Failure, failure
from entente_sdk._verification import Exchange, moment_us
from entente_sdk.answers import Answer
from entente_sdk.errors import ConfigurationError, HandshakeError
from entente_sdk.justification import Justification
from entente_sdk.profile import Profile
from entente_sdk.retries import Budget, RetryPolicy
from entente_sdk.tokens import TokenSource

DEFAULT_SECONDS = 30.0
M = TypeVar("M", bound=Message)


class AsyncCalls:
    """What every service of the client calls through."""

    def __init__(self, profile: Profile, tokens: TokenSource, retry: RetryPolicy, seconds: float) -> None:
        self.profile = profile
        self.retry = retry
        self.tokens = tokens
        self._keys = profile.trusted_logs()
        self._seconds = seconds
        self._transport: _runtime_async.Transport | None = None
        self._opening = threading.Lock()
        self._answered = False

    async def unary(self, method: Method[M], request: Message, seconds: float | None = None) -> Answer[M]:
        """The verified answer. Raises EntenteError."""
        exchange = self.exchange(method.path, request.SerializeToString())
        budget = Budget(self.retry, self._seconds if seconds is None else seconds)
        while True:
            metadata = await self.metadata()
            try:
                raw = await self.transport().unary(method.path, exchange.request, metadata, budget.remaining_seconds())
            except grpc.RpcError as error:
                failed = failure(error)
                if budget.attempts_made == 0:
                    await self.raise_handshake(failed)
                wait = budget.next_wait(failed.code)
                if wait is None:
                    raise failed.error(exchange) from None
                await _runtime_async.sleep(wait)
            else:
                self._answered = True
                return exchange.answer(method, raw)

    def exchange(self, path: str, request: bytes) -> Exchange:
        """What the receipt of an answer to these bytes must bind."""
        return Exchange(path, request, moment_us(), self._keys)

    async def metadata(self) -> _runtime_async.Metadata:
        """With a current token. Raises ConfigurationError when there is none to be had."""
        token = self.tokens.cached() or await _runtime_async.blocking(self.tokens.current)
        return (("authorization", f"Bearer {token}"),)

    def transport(self) -> _runtime_async.Transport:
        """The channel, opened at first use. Raises ConfigurationError."""
        with self._opening:
            if self._transport is None:
                self._transport = _runtime_async.Transport(self.profile)
            return self._transport

    async def raise_handshake(self, failed: Failure) -> None:
        """Raise HandshakeError where TLS is what fails. Looked at until a first answer has shown that it does not."""
        if failed.info is not None:
            self._answered = True
        if self._answered or failed.code is not grpc.StatusCode.UNAVAILABLE:
            return
        found: HandshakeError | None = await _runtime_async.blocking(lambda: _handshake.explain(self.profile))
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

    async def close(self) -> None:
        """Close the channel."""
        with self._opening:
            transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()
