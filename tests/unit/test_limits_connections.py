"""Which connections are open: gRPC's names of peers against the kernel's list."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.domain.clock import SystemClock
from broker.limits.connections import Connections, endpoint, established
from broker.limits.tally import Cell, Tally
from tests.support.exchanges import ShiftedClock


@pytest.fixture
def tally(tmp_path: Path) -> Iterator[Tally]:
    made = Tally.open(tmp_path, 0, SystemClock())
    yield made
    made.close()


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("ipv4:127.0.0.1:50268", "0100007F:C45C"),
        ("ipv6:%5B::1%5D:80", "00000000000000000000000001000000:0050"),
        ("ipv6:[::1]:80", "00000000000000000000000001000000:0050"),
        ("ipv6:%5B::ffff:127.0.0.1%5D:50268", "0100007F:C45C"),
        ("ipv6:%5Bfe80::1%252%5D:80", "000080FE000000000000000001000000:0050"),
        ("unix:/run/entente.sock", "unix:/run/entente.sock"),
        ("", ""),
    ],
)
def test_a_peer_is_written_as_the_kernel_writes_it(address: str, written: str) -> None:
    assert endpoint(address) == written


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_kernel_lists_a_connection_until_it_is_closed(family: socket.AddressFamily, host: str) -> None:
    if established(1) is None:
        pytest.skip("this machine has no /proc/self/net/tcp")
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with listener, socket.create_connection(listener.getsockname()[:2]) as client:
        name = "ipv4:{}:{}" if family == socket.AF_INET else "ipv6:[{}]:{}"
        far_end = endpoint(name.format(*client.getsockname()[:2]))
        accepted, _ = listener.accept()
        port = listener.getsockname()[1]
        assert far_end in (established(port) or ())
        assert far_end not in (established(1) or ())
        client.close()
        assert far_end not in (established(port) or ())
        accepted.close()


def test_connections_that_are_gone_make_room(tally: Tally) -> None:
    connections = Connections(tally, clock := ShiftedClock(), longest_s=100)
    row = tally.row("police.example/a")
    assert [connections.admit(row, f"ipv4:192.0.2.1:{port}", 2) for port in (1, 2, 3, 1)] == [True, True, False, True]
    clock.ahead_s = 1
    connections.sweep(frozenset({endpoint("ipv4:192.0.2.1:2")}), clock.monotonic_us())
    assert tally.held(row, Cell.CONNECTIONS) == 1
    assert connections.admit(row, "ipv4:192.0.2.1:3", 2)


def test_a_connection_that_came_while_one_looked_is_kept(tally: Tally) -> None:
    connections = Connections(tally, clock := ShiftedClock(), longest_s=100)
    row, looked_us = tally.row("police.example/a"), clock.monotonic_us()
    connections.admit(row, "ipv4:192.0.2.1:1", 2)
    connections.sweep(frozenset(), looked_us)
    assert tally.held(row, Cell.CONNECTIONS) == 1


def test_without_the_kernels_list_a_connection_counts_for_its_longest_life(tally: Tally) -> None:
    """Never less than what is open: where nobody can look, the limit is stricter."""
    connections = Connections(tally, clock := ShiftedClock(), longest_s=100)
    row = tally.row("police.example/a")
    connections.admit(row, "ipv4:192.0.2.1:1", 2)
    for ahead_s, held in ((99, 1), (101, 0)):
        clock.ahead_s = ahead_s
        connections.sweep(None, clock.monotonic_us())
        assert tally.held(row, Cell.CONNECTIONS) == held
