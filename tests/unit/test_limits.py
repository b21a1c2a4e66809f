"""What one agency may use: broker/limits, MUSTs 1 to 5 by number; over two workers that share their counters."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config import AgencyLimitsSection, ConfigError, LimitsSection, load
from broker.domain.caller import AgencyId, Peer
from broker.domain.errors import LimitError, UnavailableError
from broker.limits.limits import LEAST_WAIT_SECONDS, Limits
from broker.limits.tally import Tally
from certs import network

NOISY = Peer(AgencyId("police.example", "noisy"), "api", b"n" * 32, "1", 0)
QUIET = Peer(AgencyId("police.example", "quiet"), "api", b"q" * 32, "2", 0)
SMALL = LimitsSection(connections=3, streams=2, calls=4, requests_per_second=10, burst=20, bytes_per_second=1000)


@dataclass
class Stopped:
    """A clock that the test moves."""

    at_us: int = 1_000_000_000

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us

    def ahead(self, seconds: float) -> None:
        self.at_us += round(seconds * 1_000_000)


@dataclass
class Arriving:
    """A call on the transport."""

    address: str = "ipv4:192.0.2.1:1000"
    received: int = 0
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    def on_end(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def end(self) -> None:
        for callback in self.callbacks:
            callback()


class Workers:
    """Two workers of one broker."""

    def __init__(self, data: Path, section: LimitsSection = SMALL) -> None:
        self.clock = Stopped()
        self.tallies = [Tally.open(data, slot, self.clock) for slot in range(2)]
        self.limits = [Limits(section, tally, self.clock) for tally in self.tallies]
        self.look()

    def look(self) -> None:
        """What each does four times a second."""
        for one in self.limits:
            one.look()

    def calls(self, count: int, peer: Peer = NOISY, *, worker: int | None = None) -> int:
        """So many short calls, on both workers in turn or on one; how many were let in."""
        let_in = 0
        for number in range(count):
            call = Arriving()
            try:
                self.limits[number % 2 if worker is None else worker].call(peer, call)
            except LimitError:
                continue
            call.end()
            let_in += 1
        return let_in

    def close(self) -> None:
        for one in self.tallies:
            one.close()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.close()


def refused(limits: Limits, peer: Peer = NOISY, call: Arriving | None = None) -> LimitError:
    with pytest.raises(LimitError) as caught:
        limits.call(peer, call or Arriving())
    assert caught.value.reason == "LIMIT_EXCEEDED"
    assert caught.value.retry_after_s >= LEAST_WAIT_SECONDS
    return caught.value


def test_two_workers_share_an_agencys_calls_and_another_agency_has_its_own(workers: Workers) -> None:
    """MUST 1."""
    assert workers.calls(50) == SMALL.burst
    assert workers.calls(15, QUIET) == 15
    workers.look()
    assert workers.calls(10) == 0


def test_a_refused_caller_is_served_after_the_time_that_it_was_told(workers: Workers) -> None:
    """MUST 3."""
    workers.calls(20)
    told = refused(workers.limits[1])
    assert "10 calls a second" in told.message
    workers.clock.ahead(told.retry_after_s)
    assert workers.calls(1, worker=1) == 1


def test_refused_calls_use_up_nothing(workers: Workers) -> None:
    """MUST 3: a flood is served what its quota allows, and no less."""
    workers.calls(20)
    let_in = 0
    for _ in range(40):
        let_in += workers.calls(100)
        workers.clock.ahead(0.1)
        workers.look()
    assert let_in == pytest.approx(40, abs=2)


def test_an_idle_agency_has_its_burst_and_no_more(workers: Workers) -> None:
    workers.calls(20)
    workers.clock.ahead(3600)
    workers.look()
    assert workers.calls(100) == SMALL.burst


def test_a_worker_that_meets_an_agency_late_knows_what_it_used(workers: Workers) -> None:
    """MUST 1: changing over to another worker gives nobody a second burst."""
    workers.calls(20, worker=0)
    workers.look()
    assert workers.calls(20, worker=1) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.floats(0.0, 2.0)), max_size=40))
def test_no_pattern_of_calls_passes_the_quota(pattern: list[tuple[int, int, float]]) -> None:
    """MUST 1: over any time, the burst, and the rate, and what two workers admit between two looks at each other."""
    with tempfile.TemporaryDirectory() as data:
        workers, let_in, seconds = Workers(Path(data)), 0, 0.0
        try:
            for worker, count, pause in pattern:
                let_in += workers.calls(count, worker=worker)
                workers.clock.ahead(pause)
                seconds += pause
                workers.look()
                assert let_in <= SMALL.burst + SMALL.requests_per_second * (seconds + 0.25) + 1
        finally:
            workers.close()


def test_an_agency_in_debt_waits_until_its_bytes_are_paid(workers: Workers) -> None:
    """MUST 4: what a call sent and was sent is charged when it is known, on whichever worker."""
    first, second = workers.limits
    workers.calls(2)
    call = Arriving(received=2500)
    first.call(NOISY, call)
    call.end()
    first.spent(NOISY, 2500)
    told = refused(second)
    assert "1000 bytes a second" in told.message
    assert told.retry_after_s == pytest.approx(3.0)
    assert first.debt_s(NOISY) == pytest.approx(3.0)
    assert first.debt_s(QUIET) == 0
    workers.clock.ahead(3.0)
    workers.limits[1].call(NOISY, Arriving())


def test_calls_under_way_are_bounded_and_given_back(workers: Workers) -> None:
    """MUST 5."""
    under_way = [Arriving() for _ in range(SMALL.calls)]
    for number, call in enumerate(under_way):
        workers.limits[number % 2].call(NOISY, call)
    assert "4 calls under way" in refused(workers.limits[0]).message
    workers.limits[0].call(QUIET, Arriving())
    under_way[0].end()
    workers.limits[1].call(NOISY, Arriving())
    refused(workers.limits[0])


def test_streams_are_bounded_and_given_back(workers: Workers) -> None:
    """MUST 5: also when the stream ends in an error."""
    first, second = workers.limits
    with (
        first.stream(NOISY),
        second.stream(NOISY),
        first.stream(QUIET),
        pytest.raises(LimitError, match="2 open streams"),
        first.stream(NOISY),
    ):
        raise AssertionError("not reached")
    with pytest.raises(RuntimeError), first.stream(NOISY), second.stream(NOISY):
        raise RuntimeError
    with first.stream(NOISY), second.stream(NOISY):
        pass


def test_connections_are_bounded_together(workers: Workers) -> None:
    """MUST 1: a connection is counted by its first call, and its further calls come in."""
    addresses = [f"ipv4:192.0.2.1:{port}" for port in range(1000, 1003)]
    for number, address in enumerate(addresses):
        workers.limits[number % 2].call(NOISY, Arriving(address))
    assert "3 connections" in refused(workers.limits[0], call=Arriving("ipv4:192.0.2.1:2000")).message
    workers.limits[0].call(NOISY, Arriving(addresses[0]))


def test_a_worker_that_is_stopping_lets_nobody_in(tmp_path: Path) -> None:
    """MUST 6: what is not counted is refused. A call that ends later is no error."""
    import asyncio

    clock = Stopped()
    limits = Limits(SMALL, Tally.open(tmp_path, 0, clock), clock)
    call = Arriving()
    limits.call(NOISY, call)
    asyncio.run(limits.aclose())
    with pytest.raises(UnavailableError, match="SHUTTING_DOWN"):
        limits.call(NOISY, Arriving())
    call.end()
    limits.spent(NOISY, 10)


def test_an_agency_may_have_limits_of_its_own(tmp_path: Path) -> None:
    section = LimitsSection(
        burst=20, requests_per_second=10, agencies=(AgencyLimitsSection(str(NOISY.agency), burst=5),)
    )
    workers = Workers(tmp_path, section)
    try:
        assert workers.calls(50) == 5
        assert workers.calls(50, QUIET) == 20
    finally:
        workers.close()


CONFIGURED = """
[limits]
burst = 40
[[limits.agencies]]
name = "police.example/national-agency"
burst = 400
"""


def configured(directory: Path, text: str) -> LimitsSection:
    net = network.create(directory, "127.0.0.1:0")
    net.broker_config.write_text(net.broker_config.read_text() + text)
    return load(net.broker_config).limits


def test_limits_are_read_from_the_configuration(tmp_path: Path) -> None:
    limits = configured(tmp_path, CONFIGURED)
    (own,) = limits.agencies
    assert (limits.burst, limits.of(own).burst, limits.of(own).streams) == (40, 400, limits.streams)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("burst = 40\n", "burst = 0\n"), "limits.burst"),
        (("burst = 400", "burst = 0"), "limits.agencies.burst"),
        (("burst = 400", "bursts = 4"), "limits.agencies.bursts"),
        (("burst = 400", ""), "limits.agencies: "),
        (("police.example/national-agency", "national-agency"), "limits.agencies"),
        (("burst = 40\n", "burst = 40\nrequests = 1\n"), "limits.requests"),
    ],
)
def test_limits_that_say_nothing_sensible_are_refused(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    """MUST 6: none of them is 0, or off."""
    if named == "limits.agencies: ":
        text = CONFIGURED + '[[limits.agencies]]\nname = "police.example/national-agency"\n'
    else:
        text = CONFIGURED.replace(*change)
    with pytest.raises(ConfigError, match=named):
        configured(tmp_path, text)
