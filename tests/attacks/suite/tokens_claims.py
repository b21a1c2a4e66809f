"""The claims: each missing, null, of a wrong type, empty or oversized; time, binding, audience, issuer, actors."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from certs.issuer import encode_segment
from tests.attacks.suite.case import ACCEPTED, Case, Expected, Need
from tests.attacks.suite.minting import Mint
from tests.attacks.suite.tokens import EXPIRED, INVALID, ISSUER, MALFORMED, NOT_BOUND, Make, Table, token_cases
from tests.support.identities import ABSENT

REQUIRED = ("iss", "sub", "aud", "iat", "exp", "jti", "cnf", "roles", "clearance", "nationalities", "purposes")
TIMES = ("iat", "nbf", "exp")
LISTS = ("roles", "nationalities", "purposes")
TEXTS = ("iss", "sub", "aud", "jti", "clearance")


def cases() -> list[Case]:
    """All of this file."""
    own = frozenset({Need.ISSUER_KEY, Need.OTHER_AGENCIES})
    written = token_cases(
        {**_presence(), **_types(), **_times(), **_binding(), **_audience(), **_issuer(), **_actors()}
    )
    return written + token_cases(_numbers()) + token_cases(_others_issuer(), needs=own)


def claim(**changes: object) -> Make:
    """A token with these claims changed."""
    return lambda mint: mint.token(**changes)


def _presence() -> Table:
    found: Table = {}
    for name in REQUIRED:
        found[f"claim: no {name}"] = (claim(**{name: ABSENT}), INVALID)
        found[f"claim: {name} null"] = (claim(**{name: None}), INVALID)
        found[f"claim: {name} under another case"] = (
            lambda mint, name=name: mint.token(**{name: ABSENT, name.upper(): mint.claims()[name]}),
            INVALID,
        )
    found["claim: nbf null"] = (claim(nbf=None), INVALID)
    found["claim: none at all"] = (lambda mint: mint.signed(b"{}"), INVALID)
    found["claim: unknown ones beside"] = (claim(scope="a b", client_id="c", x={"y": [1]}), ACCEPTED)
    return found


def _types() -> Table:
    found: Table = {}
    wrong: dict[str, Any] = {"an object": {}, "true": True, "an object within": {"a": "b"}}
    for name in (*REQUIRED, "nbf"):
        found |= {f"claim: {name} {label}": (claim(**{name: value}), INVALID) for label, value in wrong.items()}
    for name in (*TEXTS, "cnf", *LISTS):
        found[f"claim: {name} a number"] = (claim(**{name: 5}), INVALID)
    for name in (*TEXTS, *TIMES, "cnf"):
        found[f"claim: {name} an empty list"] = (claim(**{name: []}), INVALID)
        found[f"claim: {name} an empty string"] = (claim(**{name: ""}), INVALID)
    for name in ("sub", "jti", "clearance", "iss"):
        found[f"claim: {name} in a list"] = (
            lambda mint, name=name: mint.token(**{name: [mint.claims()[name]]}),
            INVALID,
        )
        found[f"claim: {name} of 256 characters"] = (claim(**{name: "a" * 256}), INVALID)
        found[f"claim: {name} with a space before it"] = (
            lambda mint, name=name: mint.token(**{name: f" {mint.claims()[name]}"}),
            INVALID,
        )
        found[f"claim: {name} with a space after it"] = (
            lambda mint, name=name: mint.token(**{name: f"{mint.claims()[name]}\u00a0"}),
            INVALID,
        )
    for name in LISTS:
        entries: dict[str, Any] = {
            "a string": "officer",
            "a comma list": "officer,auditor",
            "of numbers": [1],
            "of an empty string": [""],
            "of a list": [["officer"]],
            "of null": [None],
            "with an entry twice": ["a", "a"],
            "of 33": [str(n) for n in range(33)],
            "with an entry of 129": ["a" * 129],
            "with a space": [" officer"],
        }
        found |= {f"claim: {name} {label}": (claim(**{name: value}), INVALID) for label, value in entries.items()}
    return found


def _at(**offsets: int) -> Make:
    """Times as offsets from now, taken when the token is made."""

    def make(mint: Mint) -> str:
        now = int(time.time())
        return mint.token(**{name: now + offset for name, offset in offsets.items()})

    return make


def _times() -> Table:
    return {
        "time: exp now": (_at(iat=-100, nbf=-100, exp=0), EXPIRED),
        "time: exp a second ago": (_at(iat=-100, nbf=-100, exp=-1), EXPIRED),
        "time: exp an hour ago": (_at(iat=-3700, nbf=-3700, exp=-3600), EXPIRED),
        "time: exp in two seconds": (_at(iat=-100, nbf=-100, exp=2), ACCEPTED),
        "time: life of 300": (_at(iat=0, nbf=0, exp=300), ACCEPTED),
        "time: life of 301": (_at(iat=0, nbf=0, exp=301), INVALID),
        "time: life of 300, of which 295 are gone": (_at(iat=-295, nbf=-295, exp=5), ACCEPTED),
        "time: life of 301 from nbf": (_at(iat=0, nbf=-1, exp=300), INVALID),
        "time: life of 301 from iat": (_at(iat=-1, nbf=0, exp=300), INVALID),
        "time: an hour": (_at(exp=3600), INVALID),
        "time: a hundred years": (_at(exp=100 * 365 * 86400), INVALID),
        "time: iat four ahead": (_at(iat=4, nbf=4, exp=300), ACCEPTED),
        "time: iat seven ahead": (_at(iat=7, nbf=0, exp=300), EXPIRED),
        "time: nbf seven ahead": (_at(iat=0, nbf=7, exp=300), EXPIRED),
        "time: iat and nbf a minute ahead": (_at(iat=60, nbf=60, exp=300), EXPIRED),
        "time: iat a day ahead": (_at(iat=86400, nbf=86400, exp=86500), EXPIRED),
        "time: exp before iat": (_at(iat=0, nbf=0, exp=-1), INVALID),
        "time: exp at iat": (_at(iat=3, nbf=3, exp=3), INVALID),
        "time: exp before nbf": (_at(iat=0, nbf=4, exp=3), INVALID),
        "time: all zero": (claim(iat=0, nbf=0, exp=0), INVALID),
        "time: in milliseconds": (
            lambda mint: mint.token(
                **{n: int(time.time() * 1000) for n in ("iat", "nbf")}, exp=int(time.time() * 1000) + 300
            ),
            EXPIRED,
        ),
        "time: in microseconds": (
            lambda mint: mint.token(
                **{n: int(time.time() * 1e6) for n in ("iat", "nbf")}, exp=int(time.time() * 1e6) + 600
            ),
            INVALID,
        ),
    }


def _numbers() -> Table:
    """Times as JSON writes them, which libraries read differently."""
    raw = {
        "a string": '"{now}"',
        "a fraction": "{now}.5",
        "a whole fraction": "{now}.0",
        "an exponent": "{now}e0",
        "1e308": "1e308",
        "1e400": "1e400",
        "negative": "-{now}",
        "minus zero": "-0",
        "2^53": str(2**53),
        "2^63": str(2**63),
        "2^64": str(2**64),
        "4,000 digits": "9" * 4000,
        "hexadecimal": "0x7fffffff",
        "with a plus": "+{now}",
        "with a leading zero": "0{now}",
        "NaN": "NaN",
        "Infinity": "Infinity",
        "minus Infinity": "-Infinity",
        "with an underscore": "1_900_000_000",
        "in other digits": "١٩٠٠٠٠٠٠٠٠",
    }
    wrong_claim = ("a string", "negative", "minus zero")
    return {
        f"number: {name} {label}": (
            lambda mint, name=name, text=text: _with_number(mint, name, text),
            INVALID if label in wrong_claim else MALFORMED,
        )
        for name in TIMES
        for label, text in raw.items()
    }


def _with_number(mint: Mint, name: str, text: str) -> str:
    claims = mint.claims()
    value = claims.pop(name)
    whole = json.dumps(claims)[:-1] + f',"{name}":{text.format(now=value)}}}'
    return mint.signed(whole.encode())


def _binding() -> Table:
    def cnf(value: object) -> Make:
        return claim(cnf=value)

    def own(change: Any) -> Make:
        return lambda mint: mint.token(cnf=change(mint.thumbprint))

    enc = encode_segment
    return {
        "cnf: another certificate": (cnf({"x5t#S256": enc(bytes(32))}), NOT_BOUND),
        "cnf: one bit off": (own(lambda t: {"x5t#S256": enc(bytes([t[0] ^ 1]) + t[1:])}), NOT_BOUND),
        "cnf: reversed": (own(lambda t: {"x5t#S256": enc(t[::-1])}), NOT_BOUND),
        "cnf: of a token over": (own(lambda t: {"x5t#S256": enc(hashlib.sha256(t).digest())}), NOT_BOUND),
        "cnf: empty object": (cnf({}), INVALID),
        "cnf: x5t instead": (own(lambda t: {"x5t": enc(t[:20])}), INVALID),
        "cnf: jkt instead": (own(lambda t: {"jkt": enc(t)}), INVALID),
        "cnf: jwk instead": (cnf({"jwk": {"kty": "EC"}}), INVALID),
        "cnf: kid instead": (cnf({"kid": "a"}), INVALID),
        "cnf: jku instead": (cnf({"jku": "https://127.0.0.1:9/"}), INVALID),
        "cnf: jkt beside": (own(lambda t: {"x5t#S256": enc(t), "jkt": enc(t)}), INVALID),
        "cnf: an unknown member beside": (own(lambda t: {"x5t#S256": enc(t), "a": 1}), INVALID),
        "cnf: the name in lower case": (own(lambda t: {"x5t#s256": enc(t)}), INVALID),
        "cnf: the name with a space": (own(lambda t: {"x5t#S256 ": enc(t)}), INVALID),
        "cnf: padded": (own(lambda t: {"x5t#S256": enc(t) + "="}), INVALID),
        "cnf: in hexadecimal": (own(lambda t: {"x5t#S256": t.hex()}), INVALID),
        "cnf: in standard base64": (own(lambda t: {"x5t#S256": "+/" + enc(t)[2:]}), INVALID),
        "cnf: 31 bytes": (own(lambda t: {"x5t#S256": enc(t[:31])}), INVALID),
        "cnf: 33 bytes": (own(lambda t: {"x5t#S256": enc(t + b"\x00")}), INVALID),
        "cnf: 20 bytes": (own(lambda t: {"x5t#S256": enc(t[:20])}), INVALID),
        "cnf: twice over": (own(lambda t: {"x5t#S256": enc(t + t)}), INVALID),
        "cnf: stray bits": (own(lambda t: {"x5t#S256": _stray(enc(t))}), INVALID),
        "cnf: a line feed": (own(lambda t: {"x5t#S256": enc(t) + "\n"}), MALFORMED),
        "cnf: a space": (own(lambda t: {"x5t#S256": " " + enc(t)}), INVALID),
        "cnf: null": (cnf({"x5t#S256": None}), INVALID),
        "cnf: empty": (cnf({"x5t#S256": ""}), INVALID),
        "cnf: a list": (own(lambda t: {"x5t#S256": [enc(t)]}), INVALID),
        "cnf: a list of objects": (own(lambda t: [{"x5t#S256": enc(t)}]), INVALID),
        "cnf: a bare string": (own(enc), INVALID),
        "cnf: nested": (own(lambda t: {"cnf": {"x5t#S256": enc(t)}}), INVALID),
        "cnf: flat in the claims": (
            lambda mint: mint.token(cnf=ABSENT, **{"x5t#S256": enc(mint.thumbprint)}),
            INVALID,
        ),
    }


def _stray(text: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) | 1]


def _changed(name: str, change: Any) -> Make:
    return lambda mint: mint.token(**{name: change(mint.claims()[name])})


def _audience() -> Table:
    changes: dict[str, Any] = {
        "another": lambda _: "urn:another:broker",
        "upper case": str.upper,
        "a slash after it": lambda aud: f"{aud}/",
        "a prefix": lambda aud: aud[:-1],
        "with more after it": lambda aud: f"{aud}:x",
        "twice in a list": lambda aud: [aud, aud],
        "with another in a list": lambda aud: [aud, "urn:another:broker"],
        "another first": lambda aud: ["urn:another:broker", aud],
        "in a list of a list": lambda aud: [[aud]],
        "an object": lambda aud: {"0": aud},
        "a star": lambda _: "*",
        "a space list": lambda aud: f"{aud} urn:another:broker",
        "a Cyrillic letter": lambda aud: aud.replace("e", "е"),
    }
    found: Table = {f"aud: {name}": (_changed("aud", change), INVALID) for name, change in changes.items()}
    found["aud: with a NUL"] = (_changed("aud", lambda aud: f"{aud}\x00"), MALFORMED)
    found["aud: in a list of one"] = (_changed("aud", lambda aud: [aud]), ACCEPTED)
    return found


def _issuer() -> Table:
    changes: dict[str, Any] = {
        "nobody's": lambda _: "https://issuer.nowhere.example/",
        "a slash after it": lambda iss: f"{iss}/",
        "upper case": str.upper,
        "an upper-case scheme": lambda iss: iss.replace("https", "HTTPS"),
        "http": lambda iss: iss.replace("https", "http"),
        "with its port": lambda iss: iss.replace(".example/", ".example:443/"),
        "a query": lambda iss: f"{iss}?",
        "a fragment": lambda iss: f"{iss}#",
        "a user": lambda iss: iss.replace("https://", "https://a@"),
        "a dot segment": lambda iss: iss.replace(".example/", ".example/./"),
        "escaped": lambda iss: iss.replace("n", "%6e", 1),
        "a prefix": lambda iss: iss[:-1],
        "a Cyrillic letter": lambda iss: iss.replace("o", "о", 1),
        "a file": lambda _: "file:///etc/hostname",
        "a word": lambda _: "issuer",
        "SQL": lambda _: "' OR 1=1 --",
    }
    return {f"iss: {name}": (_changed("iss", change), ISSUER) for name, change in changes.items()}


def _others_issuer() -> Table:
    found: Table = {
        "iss: another agency's, signed by this one": (
            claim(iss="https://issuer.police.example/north-region"),
            ISSUER,
        ),
        "iss: another country's, signed by this one": (
            claim(iss="https://issuer.justitie.example/haven-police"),
            ISSUER,
        ),
    }
    return found


def _actors() -> Table:
    def act(value: object) -> Make:
        return claim(act=value)

    def chain(depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {"sub": "a0"}
        for number in range(1, depth):
            found = {"sub": f"a{number}", "act": found}
        return found

    def own(mint: Mint) -> str:
        return mint.token(act={"sub": "desk", "iss": mint.issuer})

    ends: dict[str, tuple[Make, Expected]] = {
        f"act: {depth} deep": (act(chain(depth)), ACCEPTED if depth <= 3 else INVALID) for depth in (1, 2, 3, 4)
    }
    ends["act: 9 deep"] = (act(chain(9)), MALFORMED)
    ends["act: with the token's issuer"] = (own, ACCEPTED)
    wrong: dict[str, Any] = {
        "null": None,
        "a string": "desk",
        "a list": [{"sub": "desk"}],
        "empty": {},
        "without sub": {"iss": "https://issuer.police.example/northshire"},
        "sub null": {"sub": None},
        "sub empty": {"sub": ""},
        "sub a list": {"sub": ["desk"]},
        "a foreign issuer": {"sub": "desk", "iss": "https://issuer.police.example/north-region"},
        "a null issuer": {"sub": "desk", "iss": None},
        "another member": {"sub": "desk", "roles": ["auditor"]},
        "another client": {"sub": "desk", "client_id": "x"},
        "an inner null": {"sub": "desk", "act": None},
        "an inner string": {"sub": "desk", "act": "home"},
        "an inner foreign issuer": {"sub": "a", "act": {"sub": "b", "iss": "https://elsewhere.example"}},
        "a sub of 256": {"sub": "a" * 256},
        "a sub with a space": {"sub": " desk"},
    }
    return ends | {f"act: {name}": (act(value), INVALID) for name, value in wrong.items()}
