"""Times between the wire (Timestamp) and the domain (microseconds since the epoch)."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

# Beyond what the databases' integers hold, a bound is as good as none.
_LARGEST_US = 2**63 - 1


def timestamp(time_us: int) -> Timestamp:
    """Microseconds since the epoch as a Timestamp."""
    seconds, rest = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def microseconds(when: Timestamp) -> int:
    """A Timestamp as microseconds, rounded up, because what it is compared with has no finer parts; any Timestamp."""
    return max(-_LARGEST_US, min(_LARGEST_US, when.seconds * 1_000_000 + -(-when.nanos // 1000)))
