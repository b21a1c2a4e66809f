"""Which connections an agency has open, as far as it has called on them.

gRPC tells a server nothing of connections, but each call names its peer's address. A connection is counted from its
first call until the kernel no longer lists it as established. Where there is no such list, it is counted for as long
as gRPC lets a connection live.

Does not: count connections that have not called. Nobody knows whose they are; gRPC ends them (`server.options`).
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from broker.domain.clock import Clock
from broker.limits.tally import Cell, Tally

_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
# sl local_address rem_address st: state 01 is established.
_ESTABLISHED = re.compile(rb"^ *\d+: [0-9A-F]+:([0-9A-F]+) ([0-9A-F]+:[0-9A-F]+) 01 ", re.MULTILINE)
_MAPPED = "0000000000000000FFFF0000"


@dataclass(frozen=True, slots=True)
class _Connection:
    row: int
    endpoint: str
    since_us: int


class Connections:
    """The connections of one worker, counted in its column of the tally."""

    def __init__(self, tally: Tally, clock: Clock, longest_s: int) -> None:
        self._tally = tally
        self._clock = clock
        self._longest_us = longest_s * 1_000_000
        self._known: dict[str, _Connection] = {}

    def admit(self, row: int, address: str, most: int) -> bool:
        """Whether a call on this connection may come in: it is known, or there is room for one more."""
        if address in self._known:
            return True
        if self._tally.held(row, Cell.CONNECTIONS) >= most:
            return False
        self._known[address] = _Connection(row, endpoint(address), self._clock.monotonic_us())
        self._tally.add(row, Cell.CONNECTIONS, 1)
        return True

    def sweep(self, open_: frozenset[str] | None, looked_us: int) -> None:
        """Forget connections that are gone. `open_` is what `established` found, from `looked_us` on."""
        oldest = self._clock.monotonic_us() - self._longest_us
        for address, known in tuple(self._known.items()):
            gone = known.since_us < oldest if open_ is None else known.endpoint not in open_
            if gone and known.since_us < looked_us:
                del self._known[address]
                self._tally.add(known.row, Cell.CONNECTIONS, -1)


def established(port: int) -> frozenset[str] | None:
    """The far ends of all connections to a port of ours, as the kernel writes them; None where it has no list."""
    found: set[str] = set()
    try:
        for table in _TABLES:
            for ours, theirs in _ESTABLISHED.findall(table.read_bytes()):
                # A far end has one port for many connections: only those to this port say that it is still here.
                if int(ours, 16) == port:
                    found.add(_plain(theirs.decode()))
    except FileNotFoundError:
        return None
    return frozenset(found)


def endpoint(address: str) -> str:
    """gRPC's name of a peer (`ipv4:127.0.0.1:80`, `ipv6:%5B::1%5D:80`) as the kernel writes it, or else as it is."""
    host, _, port = urllib.parse.unquote(address).partition(":")[2].rpartition(":")
    try:
        packed = ipaddress.ip_address(host.strip("[]").partition("%")[0]).packed
        words = [packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4)]
        return _plain(f"{''.join(words)}:{int(port):04X}")
    except ValueError:
        return address


def _plain(written: str) -> str:
    """An IPv4 address within IPv6 is the IPv4 address."""
    return written.removeprefix(_MAPPED)
