"""The steps in their order. What depends on a step that failed is skipped; what does not is examined all the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator

from entente_sdk.doctor import broker, issuer, network, own, tls, token
from entente_sdk.doctor.finding import Finding, fail, failed, ok, skip, warn
from entente_sdk.errors import ConfigurationError, EntenteError
from entente_sdk.profile import Profile
from entente_sdk.settings import Settings

CONFIGURATION = "configuration"
STEPS = (
    CONFIGURATION,
    network.NAME,
    network.CONNECTION,
    tls.TLS,
    tls.SERVER,
    own.OWN,
    tls.ACCEPTANCE,
    issuer.ISSUER,
    token.TOKEN,
    broker.CLOCK,
    broker.IDENTITY,
    broker.POLICY,
    broker.LOG_KEY,
)
Clock = Callable[[], float]


def examine(settings: Settings, clock: Clock = time.time) -> Iterator[Finding]:
    """One finding for each of `STEPS`, in that order; each as soon as it is known. `clock`: this machine's."""
    first, profile = _configuration(settings)
    yield first
    if profile is None:
        yield from _skipped(STEPS[1], "the configuration is not complete")
        return
    handshake = yield from _transport(profile, clock)
    yield _guarded(issuer.ISSUER, lambda: issuer.examine_issuer(profile, clock))
    obtained: list[token.Obtained] = []

    def look() -> Finding:
        finding, found = token.examine_token(profile, clock)
        obtained.extend([found] if found is not None else [])
        return finding

    yield _guarded(token.TOKEN, look)
    if not handshake:
        yield from _skipped(broker.CLOCK, "there is no connection to the broker")
    elif not obtained:
        yield from _skipped(broker.CLOCK, "there is no token to call with")
    else:
        yield from _broker(profile, obtained[0].token, clock)


def unreadable(error: ConfigurationError) -> Iterator[Finding]:
    """The same where there is no configuration to examine with."""
    yield failed(CONFIGURATION, error)
    yield from _skipped(STEPS[1], "the configuration cannot be read")


def _configuration(settings: Settings) -> tuple[Finding, Profile | None]:
    try:
        profile = settings.profile()
        profile.trusted_logs()
        _ = profile.port
    except ConfigurationError as error:
        return failed(CONFIGURATION, error), None
    about = f"profile {profile.name!r} of {settings.path}"
    if settings.unknown_variables:
        names = ", ".join(settings.unknown_variables)
        return warn(CONFIGURATION, f"{about}; ignored: {names}", "Unset them, or correct their names."), profile
    return ok(CONFIGURATION, about), profile


def _transport(profile: Profile, clock: Clock) -> Generator[Finding, None, bool]:
    """Name to acceptance; returns whether all of it holds."""
    seen: list[tls.Seen] = []

    def shake() -> Finding:
        finding, found = tls.examine_tls(profile)
        seen.extend([found] if found is not None else [])
        return finding

    steps: tuple[tuple[str, Callable[[], Finding]], ...] = (
        (network.NAME, lambda: network.examine_name(profile)),
        (network.CONNECTION, lambda: network.examine_connection(profile)),
        (tls.TLS, shake),
        (tls.SERVER, lambda: tls.examine_server(profile, seen[0], clock)),
        (own.OWN, lambda: own.examine_own(profile, clock)),
        (tls.ACCEPTANCE, lambda: tls.examine_acceptance(profile)),
    )
    holds = True
    for step, look in steps:
        if step == own.OWN:
            finding = _guarded(step, look)
        elif not holds:
            finding = skip(step, "an earlier step failed")
        else:
            finding = _guarded(step, look)
            holds = finding.verdict not in ("FAIL", "SKIP")
        yield finding
    return holds


def _broker(profile: Profile, bearer: str, clock: Clock) -> Iterator[Finding]:
    try:
        heard = broker.ask(profile, bearer, clock)
    except Exception as error:
        yield _defect(broker.CLOCK, error)
        yield from _skipped(broker.IDENTITY, "the broker could not be asked")
        return
    yield _guarded(broker.CLOCK, lambda: broker.examine_clock(heard, bearer))
    yield _guarded(broker.IDENTITY, lambda: broker.examine_identity(heard))
    yield _guarded(broker.POLICY, lambda: broker.examine_policy(profile, heard))
    yield _guarded(broker.LOG_KEY, lambda: broker.examine_log_key(heard))


def _guarded(step: str, look: Callable[[], Finding]) -> Finding:
    """An examination never ends in a traceback: what nobody thought of is a finding too."""
    try:
        return look()
    except EntenteError as error:
        return failed(step, error)
    except Exception as error:
        return _defect(step, error)


def _defect(step: str, error: Exception) -> Finding:
    return fail(step, f"the examination itself failed: {type(error).__name__}: {error}", "Report this as a defect.")


def _skipped(first: str, because: str) -> Iterator[Finding]:
    for step in STEPS[STEPS.index(first) :]:
        yield skip(step, because)
