"""The header: algorithms, key names, and members that name a key or a meaning of the sender's choice."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from certs.issuer import encode_segment, jwks_document
from tests.attacks.suite.case import ACCEPTED, Case, Need
from tests.attacks.suite.minting import Mint, compact, eddsa, ps256, rs256
from tests.attacks.suite.own import ED25519_KEY_ID, PS256_KEY_ID, RS256_KEY_ID
from tests.attacks.suite.tokens import INVALID, MALFORMED, Make, Table, token_cases
from tests.support.identities import ABSENT, ed25519_key, es256, p256, rsa_key

EVIL = "https://127.0.0.1:9/keys"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def cases() -> list[Case]:
    """All of this file."""
    own = frozenset({Need.ISSUER_KEY, Need.AUTHORITY})
    written = token_cases({**_algorithms(), **_symmetric(), **_key_ids(), **_members(), **_signatures(), **_types()})
    return written + token_cases(_other_kinds(), needs=own)


def _with(**header: object) -> Make:
    return lambda mint: mint.token(header)


def _algorithms() -> Table:
    names = ["", "none", "None", "NONE", "nOnE", "none ", "null", "es256", "ES256 ", " ES256", "ES-256"]
    names += ["ES256K", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
    names += ["RS1", "HS1", "HS256", "HS384", "HS512", "dir", "A256KW", "RSA-OAEP", "ECDH-ES", "PBES2-HS256+A128KW"]
    names += ["ЕS256", "ES256,none", "*", "0", "ES256#", "SHA256withECDSA", "x" * 200]
    found: Table = {f"alg: {name[:20]!r} over a good signature": (_with(alg=name), INVALID) for name in names}
    found |= {
        f"alg: {name!r} without a signature": (lambda mint, name=name: _unsigned(mint, name), MALFORMED)
        for name in ("none", "None", "NONE", "ES256", "")
    }
    found |= {
        f"alg: {name!r} with a signature of one byte": (
            lambda mint, name=name: mint.signed(_claims(mint), {"alg": name}, lambda _: b"\x00"),
            INVALID,
        )
        for name in ("none", "NONE", "ES256", "HS256")
    }
    for value in (None, 256, True, ["ES256"], {"alg": "ES256"}, ABSENT):
        label = "absent" if value is ABSENT else json.dumps(value)
        found[f"alg: {label}"] = (_with(alg=value), MALFORMED)
    found["alg: with a control character"] = (_with(alg="ES256\n"), MALFORMED)
    found["alg: with a NUL"] = (_with(alg="ES256\x00"), MALFORMED)
    found["alg: ES256"] = (_with(alg="ES256"), ACCEPTED)
    return found


def _claims(mint: Mint) -> bytes:
    return json.dumps(mint.claims()).encode()


def _unsigned(mint: Mint, algorithm: str) -> str:
    header = json.dumps(mint.header(alg=algorithm)).encode()
    return f"{encode_segment(header)}.{encode_segment(_claims(mint))}."


def _symmetric() -> Table:
    """The public key is public: as an HMAC secret it signs whatever one likes (CVE-2015-9235)."""
    secrets: dict[str, Callable[[Mint], bytes]] = {
        "PEM": lambda mint: _public(mint, serialization.Encoding.PEM),
        "PEM without its last line feed": lambda mint: _public(mint, serialization.Encoding.PEM).strip(),
        "DER": lambda mint: _public(mint, serialization.Encoding.DER),
        "its point": lambda mint: mint.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        ),
        "JWK": lambda mint: json.dumps(_jwk(mint)).encode(),
        "JWK in canonical form": lambda mint: json.dumps(_jwk(mint), sort_keys=True, separators=(",", ":")).encode(),
        "the whole JWKS": lambda mint: jwks_document([mint.key.public_key()]),
        "the kid": lambda mint: mint.key_id.encode(),
        "nothing": lambda _: b"",
        "a zero byte": lambda _: b"\x00",
    }
    return {
        f"HMAC: HS{bits} with {name} as the secret": (_hmac(f"HS{bits}", f"sha{bits}", secret), INVALID)
        for bits in (256, 384, 512)
        for name, secret in secrets.items()
    }


def _hmac(algorithm: str, digest: str, secret: Callable[[Mint], bytes]) -> Make:
    def make(mint: Mint) -> str:
        return mint.signed(
            _claims(mint), {"alg": algorithm}, lambda content: hmac.digest(secret(mint), content, digest)
        )

    return make


def _public(mint: Mint, encoding: serialization.Encoding) -> bytes:
    return mint.key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def _jwk(mint: Mint, key: ec.EllipticCurvePrivateKey | None = None) -> dict[str, object]:
    entry: dict[str, object] = json.loads(jwks_document([(key or mint.key).public_key()]))["keys"][0]
    return entry


def _key_ids() -> Table:
    traversals = [
        "../../../../../../dev/null",
        "/dev/null",
        "..\\..\\windows\\win.ini",
        "file:///dev/null",
        "./jwks.json",
    ]
    injections = [
        "x' OR '1'='1",
        "'; DROP TABLE issuer; --",
        '" UNION SELECT "key',
        "$(id)",
        "`id`",
        "| id",
        "${jndi:x}",
    ]
    others = [
        "",
        " ",
        "0",
        "null",
        "undefined",
        "__proto__",
        "constructor",
        "*",
        "%00",
        "%2e%2e%2f",
        "other",
        "a" * 300,
    ]
    found: Table = {f"kid: {text[:30]!r}": (_with(kid=text), INVALID) for text in traversals + injections + others}
    found |= {
        f"kid: {name}": (_with(kid=value), MALFORMED)
        for name, value in {
            "a NUL": "a\x00b",
            "a line feed": "a\nb",
            "a lone surrogate": "a\ud800",
            "a direction override": "a\u202eb",
            "a number": 1,
            "null": None,
            "a list": ["a"],
            "an object": {"kid": "a"},
            "true": True,
            "absent": ABSENT,
            "of 600 characters": "a" * 600,
        }.items()
    }
    found["kid: the right one with a space"] = (lambda mint: mint.token({"kid": f"{mint.key_id} "}), INVALID)
    found["kid: the right one in upper case"] = (lambda mint: mint.token({"kid": mint.key_id.upper()}), INVALID)
    found["kid: the right one, padded"] = (lambda mint: mint.token({"kid": f"{mint.key_id}="}), INVALID)
    found["kid: of another key of this issuer"] = (_with(kid=ED25519_KEY_ID), INVALID)
    found["kid: of an RSA key of this issuer"] = (_with(kid=RS256_KEY_ID), INVALID)
    return found


def _members() -> Table:
    """Members that name a key, or change what the rest means. Signed correctly all the same."""
    values: dict[str, object] = {
        "jku": EVIL,
        "jku of the issuer": "https://issuer.police.example/northshire/jwks.json",
        "x5u": EVIL,
        "x5c": ["MIIB"],
        "x5t": "AAAA",
        "x5t#S256": "AAAA",
        "crit with exp": ["exp"],
        "crit empty": [],
        "crit null": None,
        "crit with b64": ["b64"],
        "b64 false": False,
        "b64 true": True,
        "zip": "DEF",
        "cty": "JWT",
        "enc": "A256GCM",
        "epk": {"kty": "EC"},
        "apu": "AA",
        "p2c": 1_000_000_000,
        "iss": "https://issuer.police.example/northshire",
        "exp": 1,
        "nonce": "a",
        "url": EVIL,
        "": "",
        "ALG": "none",
        "Alg": "none",
        "alg ": "none",
        "__proto__": {"alg": "none"},
    }
    found: Table = {
        f"header: {name}": (
            _with(**{name.split(" ")[0] or "": value} if name.strip() == name else {name: value}),
            MALFORMED,
        )
        for name, value in values.items()
    }
    found["header: jwk of the sender, signed with it"] = (_own_jwk, MALFORMED)
    found["header: jwk of the issuer"] = (lambda mint: mint.token({"jwk": _jwk(mint)}), MALFORMED)
    for name, raw in _raw_headers().items():
        found[f"header: {name}"] = (lambda mint, raw=raw: mint.signed(_claims(mint), raw(mint)), MALFORMED)
    return found


def _own_jwk(mint: Mint) -> str:
    header = {"jwk": _jwk(mint, p256("stranger")), "kid": "stranger"}
    return mint.signed(_claims(mint), header, es256(p256("stranger")))


def _raw_headers() -> dict[str, Callable[[Mint], bytes]]:
    def text(mint: Mint) -> str:
        return json.dumps(mint.header())

    return {
        "alg twice, none last": lambda mint: text(mint)[:-1].encode() + b',"alg":"none"}',
        "alg twice, none first": lambda mint: b'{"alg":"none",' + text(mint)[1:].encode(),
        "alg twice by an escape": lambda mint: text(mint)[:-1].encode() + b',"\\u0061lg":"none"}',
        "kid twice": lambda mint: text(mint)[:-1].encode() + b',"kid":"other"}',
        "empty object": lambda _: b"{}",
        "empty list": lambda _: b"[]",
        "null": lambda _: b"null",
        "a string": lambda _: b'"ES256"',
        "a number": lambda _: b"1",
        "no JSON": lambda _: b"ES256",
        "a byte order mark": lambda mint: b"\xef\xbb\xbf" + text(mint).encode(),
        "UTF-16": lambda mint: text(mint).encode("utf-16"),
        "UTF-32": lambda mint: text(mint).encode("utf-32"),
        "a byte that is not UTF-8": lambda mint: text(mint).encode().replace(b"at+jwt", b"at+jwt\xff"),
        "a comment": lambda mint: text(mint).encode() + b"/* */",
        "a comma at the end": lambda mint: text(mint)[:-1].encode() + b",}",
        "single quotes": lambda mint: text(mint).replace('"', "'").encode(),
        "a NUL after it": lambda mint: text(mint).encode() + b"\x00",
        "two objects": lambda mint: text(mint).encode() * 2,
        "cut off": lambda mint: text(mint).encode()[:-1],
        "nested 2,000 deep": lambda _: b"[" * 2_000,
    }


def _types() -> Table:
    found: Table = {
        f"typ: {value!r}": (_with(typ=value), MALFORMED)
        for value in (
            "JWT",
            "jwt",
            "AT+JWT",
            "at+JWT",
            "application/at+jwt",
            "at+jwt ",
            "dpop+jwt",
            "logout+jwt",
            "JOSE",
            "",
        )
    }
    found |= {f"typ: {value}": (_with(typ=value), MALFORMED) for value in (None, 1, True)}
    found["typ: absent"] = (_with(typ=ABSENT), MALFORMED)
    found["typ: a list"] = (_with(typ=["at+jwt"]), MALFORMED)
    return found


def _signatures() -> Table:
    def signed(change: Callable[[bytes], bytes]) -> Make:
        return lambda mint: mint.signed(_claims(mint), None, lambda content: change(es256(mint.key)(content)))

    def trivial(content: bytes) -> Make:
        return lambda mint: mint.signed(_claims(mint), None, lambda _: content)

    def pair(r: int, s: int) -> bytes:
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def dss(mint: Mint) -> str:
        return mint.signed(_claims(mint), None, lambda content: mint.key.sign(content, ec.ECDSA(hashes.SHA256())))

    # (name, r and s): the psychic signatures of CVE-2022-21449 and their kin.
    numbers = {"0, 0": (0, 0), "0, 1": (0, 1), "1, 0": (1, 0), "1, 1": (1, 1), "n, n": (ORDER, ORDER)}
    numbers |= {"n, 1": (ORDER, 1), "n+1, n+1": (ORDER + 1, ORDER + 1), "max, max": (2**256 - 1, 2**256 - 1)}
    found: Table = {f"signature: r, s = {name}": (trivial(pair(*rs)), INVALID) for name, rs in numbers.items()}
    return found | {
        "signature: high S (ES256 does not forbid it; the bytes signed are the same)": (signed(_flip_s), ACCEPTED),
        "signature: r + n": (signed(_r_plus_order), INVALID),
        "signature: in DER": (dss, INVALID),
        "signature: cut by a byte": (signed(lambda raw: raw[:-1]), INVALID),
        "signature: half": (signed(lambda raw: raw[:32]), INVALID),
        "signature: with a zero after it": (signed(lambda raw: raw + b"\x00"), INVALID),
        "signature: with a zero before it": (signed(lambda raw: b"\x00" + raw), INVALID),
        "signature: each half padded": (signed(lambda raw: b"\x00" + raw[:32] + b"\x00" + raw[32:]), INVALID),
        "signature: halves exchanged": (signed(lambda raw: raw[32:] + raw[:32]), INVALID),
        "signature: twice": (signed(lambda raw: raw * 2), INVALID),
        "signature: a bit flipped": (signed(lambda raw: bytes([raw[0] ^ 1]) + raw[1:]), INVALID),
        "signature: the last bit flipped": (signed(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), INVALID),
        "signature: of 6,000 bytes": (trivial(b"x" * 6000), INVALID if 6000 * 4 / 3 < 7000 else MALFORMED),
        "signature: one byte": (trivial(b"\x00"), INVALID),
        "signature: a stranger's, under the right kid": (
            lambda mint: mint.signed(_claims(mint), None, es256(p256("stranger"))),
            INVALID,
        ),
        "signature: by the certificate's key": (
            lambda mint: mint.signed(_claims(mint), None, es256(p256("leaf"))),
            INVALID,
        ),
        "signature: over the payload alone": (
            lambda mint: mint.signed(_claims(mint), None, lambda c: es256(mint.key)(c.partition(b".")[2])),
            INVALID,
        ),
        "signature: over its digest": (
            lambda mint: mint.signed(_claims(mint), None, lambda c: es256(mint.key)(hashlib.sha256(c).digest())),
            INVALID,
        ),
        "signature: with SHA-384": (_sha384, INVALID),
        "signature: of another token": (_moved, INVALID),
        "signature: of a header with another kid": (_header_moved, INVALID),
    }


def _split(raw: bytes) -> tuple[int, int]:
    return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")


def _flip_s(raw: bytes) -> bytes:
    r, s = _split(raw)
    return r.to_bytes(32, "big") + max(s, ORDER - s).to_bytes(32, "big")


def _r_plus_order(raw: bytes) -> bytes:
    r, s = _split(raw)
    return ((r + ORDER) % 2**256).to_bytes(32, "big") + s.to_bytes(32, "big")


def _sha384(mint: Mint) -> str:
    def sign(content: bytes) -> bytes:
        r, s = utils.decode_dss_signature(mint.key.sign(content, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return mint.signed(_claims(mint), None, sign)


def _moved(mint: Mint) -> str:
    header, _, signature = mint.token().split(".")
    return f"{header}.{encode_segment(json.dumps(mint.claims(clearance='TOP_SECRET')).encode())}.{signature}"


def _header_moved(mint: Mint) -> str:
    _, payload, signature = mint.token().split(".")
    header = json.dumps(dict(reversed(mint.header().items()))).encode()
    return f"{encode_segment(header)}.{payload}.{signature}"


def _other_kinds() -> Table:
    """The issuer's keys of other kinds, each with the one algorithm that is its own."""
    ed25519, rsa2048, rsa3072 = ed25519_key("issuer"), rsa_key(2048), rsa_key(3072)
    ways = {"EdDSA": eddsa(ed25519), "RS256": rs256(rsa2048), "PS256": ps256(rsa3072)}
    keys = {"EdDSA": ED25519_KEY_ID, "RS256": RS256_KEY_ID, "PS256": PS256_KEY_ID}

    def token(alg: str, kid: str, way: Callable[[bytes], bytes]) -> Make:
        return lambda mint: compact(json.dumps(mint.header(alg=alg, kid=kid)).encode(), _claims(mint), way)

    found: Table = {f"key kind: {alg}": (token(alg, keys[alg], ways[alg]), ACCEPTED) for alg in ways}
    # One RSA key has one algorithm; the other, rightly computed, is confusion.
    found["key kind: PS256 with the RS256 key"] = (token("PS256", RS256_KEY_ID, ps256(rsa2048)), INVALID)
    found["key kind: RS256 with the PS256 key"] = (token("RS256", PS256_KEY_ID, rs256(rsa3072)), INVALID)
    found["key kind: RS256 header over a PS256 signature"] = (token("RS256", RS256_KEY_ID, ps256(rsa2048)), INVALID)
    found["key kind: PS256 header over an RS256 signature"] = (token("PS256", PS256_KEY_ID, rs256(rsa3072)), INVALID)
    found["key kind: PS256 without salt"] = (token("PS256", PS256_KEY_ID, ps256(rsa3072, 0)), INVALID)
    found["key kind: PS256 with a salt of 64"] = (token("PS256", PS256_KEY_ID, ps256(rsa3072, 64)), INVALID)
    for wrong in ("ES256", "RS256", "PS256", "HS256", "none", "Ed25519"):
        name = f"key kind: {wrong} header over an EdDSA signature"
        found[name] = (token(wrong, ED25519_KEY_ID, ways["EdDSA"]), INVALID)
    for kid_of in ways:
        for way in ways:
            if kid_of != way:
                name = f"key kind: a {way} token under the {kid_of} key's name"
                found[name] = (token(way, keys[kid_of], ways[way]), INVALID)
    public = ed25519.public_key().public_bytes_raw()
    found["key kind: HS256 with the Ed25519 key"] = (
        token("HS256", ED25519_KEY_ID, lambda content: hmac.digest(public, content, "sha256")),
        INVALID,
    )
    rsa_pem = rsa2048.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    found["key kind: HS256 with the RSA key"] = (
        token("HS256", RS256_KEY_ID, lambda content: hmac.digest(rsa_pem, content, "sha256")),
        INVALID,
    )
    return found
