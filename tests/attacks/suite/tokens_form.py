"""The token's form: compact serialisation, base64url, JSON and UTF-8, sizes; and the metadata that carries it."""

from __future__ import annotations

import base64
import json
from typing import Any

from certs.issuer import encode_segment
from tests.attacks.suite.case import ACCEPTED, CORE, Case, Expected
from tests.attacks.suite.minting import Mint
from tests.attacks.suite.target import bearer
from tests.attacks.suite.tokens import (
    MALFORMED,
    MISSING,
    Make,
    MakeHeaders,
    Table,
    header_cases,
    token_cases,
)
from tests.support.identities import es256

# What a proxy in front of another service would say of its caller.
STRANGER = b"spiffe://police.example/agency/north-region/gateway"


def cases() -> list[Case]:
    """All of this file."""
    return [*token_cases({**_segments(), **_payloads(), **_texts()}), *header_cases(_metadata())]


def changed(change: Any) -> Make:
    """A good token's text, changed."""
    return lambda mint: change(mint.token())


def _segments() -> Table:
    def part(number: int, change: Any) -> Make:
        def make(mint: Mint) -> str:
            parts = mint.token().split(".")
            parts[number] = change(parts[number])
            return ".".join(parts)

        return make

    changes: dict[str, Any] = {
        "one segment": lambda token: token.partition(".")[0],
        "two segments": lambda token: token.rpartition(".")[0],
        "four segments": lambda token: f"{token}.AAAA",
        "a dot before it": lambda token: f".{token}",
        "a dot after it": lambda token: f"{token}.",
        "two dots": lambda token: token.replace(".", "..", 1),
        "only dots": lambda _: "..",
        "a JWE": lambda token: ".".join(["eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0", "", "AAAA", "AAAA", "AAAA"]),
        "a JWE around it": lambda token: ".".join(
            [token.split(".")[0], "AA", "AA", encode_segment(token.encode()), "AA"]
        ),
        "padding": lambda token: f"{token}==",
        "a space before it": lambda token: f" {token}",
        "a space within": lambda token: token.replace(".", ". ", 1),
        "two tokens": lambda token: f"{token} {token}",
        "two tokens with a comma": lambda token: f"{token},{token}",
        "two tokens with a comma and scheme": lambda token: f"{token}, Bearer {token}",
        "quoted": lambda token: f'"{token}"',
        "standard base64": lambda token: token.replace("-", "+").replace("_", "/") + "+",
        "percent-encoded dots": lambda token: token.replace(".", "%2e"),
        "a percent": lambda token: f"{token}%00",
        "a semicolon": lambda token: f"{token};a=b",
        "twice base64": lambda token: encode_segment(token.encode()),
        "a full-width dot": lambda token: token.replace(".", "．"),
        "not ASCII after it": lambda token: f"{token}é",
        "upper case": str.upper,
        "9 KB": lambda token: f"{token}{'A' * 9000}",
        "12 KB of one segment": lambda _: "A" * 12000,
        "the word null": lambda _: "null",
        "the word undefined": lambda _: "undefined",
        "JSON": lambda token: json.dumps({"protected": token.split(".")[0]}),
        "JSON serialisation, flattened": _flattened,
        "JSON serialisation, general": _general,
        "an opaque token": lambda _: "2YotnFZFEjr1zCsicMWpAA",
        "a session's cookie": lambda _: "SESSION=abc",
    }
    found: Table = {f"form: {name}": (changed(change), MALFORMED) for name, change in changes.items()}
    for number, name in enumerate(("header", "payload", "signature")):
        found[f"form: {name} empty"] = (part(number, lambda _: ""), MALFORMED)
        found[f"form: {name} padded"] = (part(number, lambda text: f"{text}="), MALFORMED)
        found[f"form: {name} of a length that no bytes have"] = (part(number, _impossible), MALFORMED)
        found[f"form: {name} with a star"] = (part(number, lambda text: f"*{text[1:]}"), MALFORMED)
    found["form: stray bits in the signature"] = (part(2, _stray), MALFORMED)
    return found


def _impossible(text: str) -> str:
    return "A" * (len(text) - len(text) % 4 + 5)


def _stray(text: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) | 1]


def _flattened(token: str) -> str:
    header, payload, signature = token.split(".")
    return json.dumps({"protected": header, "payload": payload, "signature": signature}, separators=(",", ":"))


def _general(token: str) -> str:
    header, payload, signature = token.split(".")
    signatures = [{"protected": header, "signature": signature}]
    return json.dumps({"payload": payload, "signatures": signatures}, separators=(",", ":"))


def _payloads() -> Table:
    """What is signed is not what a parser would say it is."""

    def raw(member: str) -> Make:
        return lambda mint: mint.signed(mint.raw(member))

    def whole(change: Any) -> Make:
        return lambda mint: mint.signed(change(json.dumps(mint.claims())))

    members = {
        "sub twice": '"sub":"admin"',
        "sub twice, the same": '"sub":"pc.rowan.ash"',
        "sub twice by an escape": '"s\\u0075b":"admin"',
        "sub by escapes alone": '"\\u0073\\u0075\\u0062":"admin"',
        "roles twice": '"roles":["auditor"]',
        "cnf twice": '"cnf":{}',
        "exp twice": '"exp":4102444800',
        "clearance twice": '"clearance":"TOP_SECRET"',
        "a member twice, one deep": '"x":{"a":1,"a":2}',
        "a member twice, two deep": '"x":{"y":{"a":1,"a":2}}',
        "a member twice in a list": '"x":[{"a":1,"a":2}]',
        "a fraction anywhere": '"x":1.5',
        "an exponent anywhere": '"x":1e9',
        "NaN anywhere": '"x":NaN',
        "Infinity anywhere": '"x":Infinity',
        "2^53 anywhere": f'"x":{2**53}',
        "a number of 4,000 digits": f'"x":{"9" * 4000}',
        "nested 9 deep": '"x":' + "[" * 9 + "]" * 9,
        "objects nested 9 deep": '"x":' + '{"a":' * 9 + "1" + "}" * 9,
        "1,000 brackets that never close": '"x":' + "[" * 1000,
        "65 lists": '"x":[' + "[]," * 64 + "[]]",
        "brackets in a string": '"x":"' + "[" * 100 + '"',
        "a string of 513": '"x":"' + "a" * 513 + '"',
        "a name of 513": '"' + "a" * 513 + '":1',
        "a NUL in a name": '"a\\u0000":1',
        "a NUL in a value": '"x":"a\\u0000b"',
        "a lone surrogate": '"x":"\\ud800"',
        "a lone low surrogate": '"x":"\\udc00"',
        "surrogates in the wrong order": '"x":"\\udc00\\ud800"',
        "a direction override": '"x":"\\u202e"',
        "an isolate": '"x":"\\u2066"',
        "a non-character": '"x":"\\uffff"',
        "a C1 control": '"x":"\\u0085"',
        "a line feed": '"x":"a\\nb"',
        "a raw tab": '"x":"a\tb"',
        "a raw line feed": '"x":"a\nb"',
        "an unknown escape": '"x":"\\x41"',
        "a comma at the end": '"x":1,',
        "a comment": '"x":1/**/',
    }
    texts: dict[str, Any] = {
        "UTF-16": lambda text: text.encode("utf-16"),
        "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
        "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
        "UTF-32": lambda text: text.encode("utf-32"),
        "UTF-7": lambda text: text.encode().replace(b"{", b"+AHs-", 1),
        "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
        "Latin-1": lambda text: (
            text.replace("rowan", "r\u00f6wan").encode("latin-1", "replace").replace(b"\\", b"\xf6")
        ),
        "a byte that is not UTF-8": lambda text: text.encode().replace(b"GB", b"G\xff"),
        "overlong UTF-8": lambda text: text.encode().replace(b"GB", b"G\xc0\x80"),
        "a surrogate in UTF-8": lambda text: text.encode().replace(b"GB", b"\xed\xa0\x80"),
        "above Unicode": lambda text: text.encode().replace(b"GB", b"\xf4\x90\x80\x80"),
        "cut off": lambda text: text.encode()[:-1],
        "text after it": lambda text: text.encode() + b"x",
        "a NUL after it": lambda text: text.encode() + b"\x00",
        "two objects": lambda text: text.encode() * 2,
        "two objects, a line each": lambda text: text.encode() + b"\n" + text.encode(),
        "in a list": lambda text: b"[" + text.encode() + b"]",
        "as a string": lambda text: json.dumps(text).encode(),
        "null": lambda _: b"null",
        "true": lambda _: b"true",
        "a number": lambda _: b"1",
        "an empty list": lambda _: b"[]",
        "single quotes": lambda text: text.replace('"', "'").encode(),
        "names without quotes": lambda text: text.replace('"sub"', "sub").encode(),
        "form encoding": lambda _: b"sub=pc.rowan.ash&exp=4102444800",
        "XML": lambda _: b"<sub>pc.rowan.ash</sub>",
        "CBOR": lambda _: bytes.fromhex("a163737562656f74686572"),
        "1,000 opening braces": lambda _: b'{"a":' * 1000,
    }
    found: Table = {f"payload: {name}": (raw(member), MALFORMED) for name, member in members.items()}
    found |= {f"payload: {name}": (whole(change), MALFORMED) for name, change in texts.items()}
    found["payload: spaces and line feeds between members"] = (
        lambda mint: mint.signed(json.dumps(mint.claims(), indent=2).encode()),
        ACCEPTED,
    )
    found["payload: spaces around it"] = (whole(lambda text: f" {text}\n".encode()), ACCEPTED)
    found["payload: escaped names, each once"] = (
        whole(lambda text: text.replace('"sub"', '"\\u0073ub"').encode()),
        ACCEPTED,
    )
    return found


def _texts() -> Table:
    """Values that would be read as something else by whoever sees them in the log."""
    forbidden = {
        "a NUL": "a\x00b",
        "an escape": "a\x1b[2Jb",
        "a line feed": "a\nb",
        "a carriage return": "a\rb",
        "a backspace": "a\x08b",
        "DEL": "a\x7fb",
        "NEL": "a\x85b",
        "a lone surrogate": "a\ud800b",
        "a direction override": "a\u202eb",
        "an embedding": "a\u202ab",
        "an isolate": "a\u2067b",
        "a non-character": "a\ufffeb",
        "another non-character": "a\ufdd0b",
    }
    found: Table = {
        f"text: {claim} with {name}": (lambda mint, claim=claim, text=text: mint.token(**{claim: text}), MALFORMED)
        for claim in ("sub", "jti", "clearance")
        for name, text in forbidden.items()
    }
    found["text: sub in other scripts"] = (lambda mint: mint.token(sub="Ólafur 王 😀"), ACCEPTED)
    found["text: sub that looks like SQL"] = (lambda mint: mint.token(sub="'; DROP TABLE record; --"), ACCEPTED)
    found["text: sub that looks like markup"] = (lambda mint: mint.token(sub="<script>alert(1)</script>"), ACCEPTED)
    found["text: sub that looks like a template"] = (
        lambda mint: mint.token(sub="${jndi:ldap://127.0.0.1:9/a}"),
        ACCEPTED,
    )
    return found


def _metadata() -> dict[str, tuple[MakeHeaders, Expected]]:
    def scheme(text: str) -> MakeHeaders:
        return lambda mint: ((b"authorization", text.encode() + mint.token().encode()),)

    def named(name: bytes) -> MakeHeaders:
        return lambda mint: ((name, b"Bearer " + mint.token().encode()),)

    def basic(mint: Mint) -> Any:
        return ((b"authorization", b"Basic " + base64.b64encode(mint.user.encode() + b":pw")),)

    found: dict[str, tuple[MakeHeaders, Expected]] = {
        "metadata: no token": (lambda _: (), MISSING),
        "metadata: empty": (lambda _: ((b"authorization", b""),), MISSING),
        "metadata: the scheme alone": (lambda _: ((b"authorization", b"Bearer"),), MISSING),
        "metadata: the scheme and a space": (lambda _: ((b"authorization", b"Bearer "),), MALFORMED),
        "metadata: two tokens": (lambda mint: (bearer(mint.token()), bearer(mint.token())), MISSING),
        "metadata: the same token twice": (lambda mint: (bearer(mint.token()),) * 2, MISSING),
        "metadata: a good token and a bad one": (lambda mint: (bearer(mint.token()), bearer("x")), MISSING),
        "metadata: a bad token and a good one": (lambda mint: (bearer("x"), bearer(mint.token())), MISSING),
        "metadata: a good token and Basic": (lambda mint: (bearer(mint.token()), *basic(mint)), MISSING),
        "metadata: 100 tokens": (lambda mint: (bearer("a.b.c"),) * 100, MISSING),
        "metadata: Basic": (basic, MISSING),
        "metadata: Digest": (lambda _: ((b"authorization", b'Digest username="a"'),), MISSING),
        "metadata: DPoP": (scheme("DPoP "), MISSING),
        "metadata: Negotiate": (scheme("Negotiate "), MISSING),
        "metadata: Token": (scheme("Token "), MISSING),
        "metadata: no scheme": (scheme(""), MISSING),
        "metadata: a tab after the scheme": (scheme("Bearer\t"), MISSING),
        "metadata: two spaces": (scheme("Bearer  "), MALFORMED),
        "metadata: a colon": (scheme("Bearer: "), MISSING),
        "metadata: an equals sign": (scheme("Bearer="), MISSING),
        "metadata: Bearer twice": (scheme("Bearer Bearer "), MALFORMED),
        "metadata: lower-case scheme (RFC 9110 section 11.1)": (scheme("bearer "), ACCEPTED),
        "metadata: upper-case scheme": (scheme("BEARER "), ACCEPTED),
        "metadata: a Cyrillic scheme": (scheme("Bеarer "), MISSING),
        "metadata: a NUL in the value": (lambda _: ((b"authorization", b"Bearer \x00"),), MALFORMED),
        "metadata: a line feed in the value": (lambda _: ((b"authorization", b"Bearer a\nb"),), MALFORMED),
        "metadata: 1 MB": (lambda mint: (bearer("a" * 1_000_000),), CORE),
        # Between 16 KiB and a quarter more the core refuses at random.
        "metadata: 24 KB": (lambda mint: (bearer("a" * 24_000),), CORE),
        "metadata: 12 KB": (lambda mint: (bearer("a" * 12_000),), MALFORMED),
        "metadata: a 1 MB token of 100,000 brackets": (lambda mint: (bearer(_deep(mint, 100_000)),), CORE),
        "metadata: a token of 4,000 brackets": (lambda mint: (bearer(_deep(mint, 4_000)),), MALFORMED),
        "metadata: a good token and 1 MB beside": (
            lambda mint: (bearer(mint.token()), (b"x-big", b"a" * 1_000_000)),
            CORE,
        ),
    }
    for name in (
        "x-authorization",
        "proxy-authorization",
        "authorization-bin",
        "access-token",
        "cookie",
        "bearer",
        "token",
    ):
        end = CORE if name == "authorization-bin" else MISSING
        found[f"metadata: a token in {name}"] = (named(name.encode()), end)
    for name in (
        "x-forwarded-client-cert",
        "x-client-cert",
        "x-spiffe-id",
        "x-agency",
        "x-user",
        "x-ssl-client-verify",
    ):
        found[f"metadata: {name} beside no token"] = (lambda _, name=name: ((name.encode(), STRANGER),), MISSING)
        found[f"metadata: {name} is not believed"] = (
            lambda mint, name=name: ((name.encode(), STRANGER), bearer(mint.token())),
            ACCEPTED,
        )
    found["metadata: an upper-case name"] = (named(b"Authorization"), CORE)
    found["metadata: a name with a space"] = (named(b"authorization "), CORE)
    return found


def _deep(mint: Mint, brackets: int) -> str:
    return mint.signed(b"[" * brackets, None, es256(mint.key))
