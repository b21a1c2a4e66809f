"""Paths, pseudo-headers, content types and message framing: whatever is not a method of the protos is refused."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from tests.attacks.suite.case import ACCEPTED, CORE, Case, Expected, Need, Observed, refused
from tests.attacks.suite.target import WHO_AM_I, Target, bearer
from tests.attacks.suite.wire import Header, call_headers, framed

FAMILY = "paths"
UNKNOWN = refused("METHOD_UNKNOWN", status="UNIMPLEMENTED")
MALFORMED = refused("REQUEST_MALFORMED", status="INVALID_ARGUMENT")
TOO_LARGE = refused("REQUEST_TOO_LARGE", status="RESOURCE_EXHAUSTED")
NEEDS = frozenset({Need.TOKEN})
SERVICE = WHO_AM_I.rpartition(b"/")[0]


def cases() -> list[Case]:
    """All of this file."""
    odd = [_path(name, path, end) for name, (path, end) in _paths().items()]
    return odd + [_framed(name, headers, body, end) for name, (headers, body, end) in _frames().items()]


def _paths() -> dict[str, tuple[bytes, Expected]]:
    unknown: dict[str, bytes] = {
        "an unknown method": SERVICE + b"/Whoami",
        "an unknown service": b"/entente.directory.v1.DirectoryServices/WhoAmI",
        "a version that does not exist": b"/entente.directory.v2.DirectoryService/WhoAmI",
        "lower case": WHO_AM_I.lower(),
        "upper case": WHO_AM_I.upper(),
        "a double slash first": b"/" + WHO_AM_I,
        "a double slash within": WHO_AM_I.replace(b"/WhoAmI", b"//WhoAmI"),
        "a slash after it": WHO_AM_I + b"/",
        "a dot segment": SERVICE + b"/./WhoAmI",
        "a climb": SERVICE + b"/x/../WhoAmI",
        "a climb out": b"/../../../etc/hostname",
        "an escaped slash": SERVICE + b"%2fWhoAmI",
        "an escaped letter": SERVICE + b"/Who%41mI",
        "an escaped NUL": WHO_AM_I + b"%00",
        "a query": WHO_AM_I + b"?x=1",
        "a fragment": WHO_AM_I + b"#x",
        "parameters": WHO_AM_I + b";x=1",
        "a space after it": WHO_AM_I + b" ",
        "a tab after it": WHO_AM_I + b"\t",
        "no method": SERVICE + b"/",
        "no service": b"//WhoAmI",
        "a slash alone": b"/",
        "dots for slashes": b"/" + WHO_AM_I[1:].replace(b"/", b"."),
        "backslashes": b"\\" + WHO_AM_I[1:].replace(b"/", b"\\"),
        "one segment": b"/WhoAmI",
        "three segments": WHO_AM_I + b"/x",
        "a Cyrillic letter": "/entente.directory.v1.DirectoryService/WhоAmI".encode(),
        "a full-width letter": "/entente.directory.v1.DirectoryService/ＷhoAmI".encode(),
        "a zero-width space": WHO_AM_I + "\u200b".encode(),
        "4,000 characters": b"/" + b"a" * 4000 + b"/b",
        "a thousand slashes": b"/" * 1000,
        "an internal name": b"/broker.pipeline/answer",
        "a Python attribute": b"/entente.directory.v1.DirectoryService/__class__",
        "SQL": b"/x' OR '1'='1/y",
        "a template": b"/${jndi:ldap://127.0.0.1:9/a}/b",
        "a star": b"/*/*",
        "the reflection service": b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "the old reflection service": b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "channelz": b"/grpc.channelz.v1.Channelz/GetTopChannels",
        "admin": b"/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
        "health by another case": b"/grpc.health.v1.health/check",
        "a method of health that is not": b"/grpc.health.v1.Health/Set",
    }
    unknown |= {
        "empty": b"",
        "no slash first": WHO_AM_I[1:],
        "a whole URL": b"https://localhost" + WHO_AM_I,
        "a NUL": WHO_AM_I + b"\x00",
        "a line feed": WHO_AM_I + b"\n",
    }
    core = {
        # Reported without a handler: the server's loop cannot name it, and must live on.
        "bytes that are not UTF-8": WHO_AM_I + b"\xff\xfe",
        "a lone surrogate in UTF-8": WHO_AM_I + b"\xed\xa0\x80",
        "20,000 characters": b"/" + b"a" * 20_000 + b"/b",
        "a megabyte": b"/" + b"a" * 1_000_000 + b"/b",
    }
    found: dict[str, tuple[bytes, Expected]] = {name: (path, UNKNOWN) for name, path in unknown.items()}
    found |= {name: (path, CORE) for name, path in core.items()}
    found["the method itself"] = (WHO_AM_I, ACCEPTED)
    found["health (answers whether it serves, and nothing else)"] = (b"/grpc.health.v1.Health/Check", ACCEPTED)
    return found


def _path(name: str, path: bytes, end: Expected) -> Case:
    async def attempt(target: Target) -> Observed:
        async with target.fresh() as connection:
            return await connection.call(call_headers(path, bearer(target.identity.token())), seconds=5)

    return Case(FAMILY, f"path: {name}", end, attempt, NEEDS)


def _frames() -> dict[str, tuple[Sequence[Header], bytes | None, Expected]]:
    good = call_headers(WHO_AM_I)
    bomb = gzip.compress(b"\x00" * 50_000_000)

    def changed(name: bytes, value: bytes | None) -> list[Header]:
        kept = [header for header in good if header[0] != name]
        return kept if value is None else [*(h for h in kept if h[0][:1] == b":" or name[:1] != b":"), (name, value)]

    def pseudo(name: bytes, value: bytes | None) -> list[Header]:
        given = [(n, value if n == name else v) for n, v in good if n != name or value is not None]
        return [(n, v) for n, v in given if v is not None]

    encoded = lambda name: [*good, (b"grpc-encoding", name)]  # noqa: E731 - an abbreviation
    # gRPC's core serves a call whatever its content type says: it is the same call, with certificate and token.
    return {
        "content type: application/json": (changed(b"content-type", b"application/json"), framed(b""), ACCEPTED),
        "content type: grpc-web": (changed(b"content-type", b"application/grpc-web"), framed(b""), ACCEPTED),
        "content type: none": (changed(b"content-type", None), framed(b""), ACCEPTED),
        "content type: grpc+json": (changed(b"content-type", b"application/grpc+json"), framed(b""), ACCEPTED),
        "content type: text": (changed(b"content-type", b"text/plain"), framed(b""), ACCEPTED),
        "verb: GET": (pseudo(b":method", b"GET"), framed(b""), CORE),
        "verb: PUT": (pseudo(b":method", b"PUT"), framed(b""), CORE),
        "verb: CONNECT": (pseudo(b":method", b"CONNECT"), framed(b""), CORE),
        "verb: none": (pseudo(b":method", None), framed(b""), CORE),
        "scheme: http": (pseudo(b":scheme", b"http"), framed(b""), ACCEPTED),
        "scheme: file": (pseudo(b":scheme", b"file"), framed(b""), CORE),
        "authority: another": (pseudo(b":authority", b"elsewhere.example"), framed(b""), ACCEPTED),
        "te: none": (changed(b"te", None), framed(b""), CORE),
        "encoding: unknown": (encoded(b"br"), framed(b"x", compressed=True), CORE),
        "encoding: identity, yet compressed": (encoded(b"identity"), framed(b"x", compressed=True), CORE),
        "encoding: gzip that is none": (encoded(b"gzip"), framed(b"hello", compressed=True), CORE),
        "encoding: a gzip bomb of 50 MB": (encoded(b"gzip"), framed(bomb, compressed=True), CORE),
        "message: none": (good, None, MALFORMED),
        "message: an empty body": (good, b"", MALFORMED),
        "message: cut off in its length": (good, b"\x00\x00\x00", MALFORMED),
        "message: cut off in its body": (good, b"\x00\x00\x00\x00\x09abc", MALFORMED),
        "message: a length of 4 GB": (good, b"\x00\xff\xff\xff\xffabc", CORE),
        "message: not protobuf": (good, framed(b"\xff" * 64), MALFORMED),
        "message: two": (
            good,
            framed(b"") * 2,
            refused("TOO_MANY_MESSAGES", status="INVALID_ARGUMENT"),
        ),
        "message: over 1 MiB": (good, framed(b"\x0a" * ((1 << 20) + 1)), TOO_LARGE),
        "message: over 4 MiB": (good, framed(b"\x0a" * ((4 << 20) + 1)), CORE),
        "timeout: none of a nanosecond": ([*good, (b"grpc-timeout", b"0n")], framed(b""), CORE),
        "timeout: not a number": ([*good, (b"grpc-timeout", b"soon")], framed(b""), CORE),
    }


def _framed(name: str, headers: Sequence[Header], body: bytes | None, end: Expected) -> Case:
    async def attempt(target: Target) -> Observed:
        async with target.fresh() as connection:
            return await connection.call([*headers, bearer(target.identity.token())], body, seconds=5)

    return Case(FAMILY, f"frame: {name}", end, attempt, NEEDS)
