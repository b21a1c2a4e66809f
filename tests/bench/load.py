"""A bounded load of one kind of call, measured from outside: rate, latency, and the server's CPU for each call."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of call: where to, what, and how large the reply is (for the record)."""

    name: str
    target: str
    credentials: grpc.ChannelCredentials
    path: str
    request: bytes
    metadata: tuple[tuple[str, str], ...]
    pid: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One round. Latencies in milliseconds, CPU in microseconds of the server for each call."""

    name: str
    callers: int
    calls: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    reply_bytes: int


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def measure(load: Load, callers: int, seconds: float) -> Measured:
    """`callers` concurrent callers over at most four connections, for so many seconds."""
    connections = [
        grpc.aio.secure_channel(
            load.target,
            load.credentials,
            (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 32 << 20)),
        )
        for _ in range(min(callers, 4))
    ]
    try:
        calls = [connection.unary_unary(load.path) for connection in connections]
        for call in calls:
            reply = await call(load.request, metadata=load.metadata, timeout=30)
        latencies: list[float] = []
        started_cpu, started = cpu_seconds(load.pid), time.perf_counter()
        end = started + seconds

        async def caller(number: int) -> None:
            call = calls[number % len(calls)]
            while (begun := time.perf_counter()) < end:
                await call(load.request, metadata=load.metadata, timeout=30)
                latencies.append(time.perf_counter() - begun)

        await asyncio.gather(*(caller(number) for number in range(callers)))
        elapsed, used = time.perf_counter() - started, cpu_seconds(load.pid) - started_cpu
    finally:
        for connection in connections:
            await connection.close()
    latencies.sort()
    return Measured(
        name=load.name,
        callers=callers,
        calls=len(latencies),
        per_second=len(latencies) / elapsed,
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1e3,
        cpu_us=used / len(latencies) * 1e6,
        reply_bytes=len(reply),
    )
