"""Bundles from outside: what is read of an archive, and by whose signature it counts."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.bundle_archive import (
    DATA,
    MANIFEST,
    MAX_ARCHIVE_BYTES,
    MAX_FILES,
    MAX_UNPACKED_BYTES,
    SIGNATURES,
    pack,
    unpack,
)
from broker.decide.bundle_signature import SignatureError, SigningKey, VerificationKey, require_signed, sign
from tests.support.policies import edited

BUNDLE = PolicyBundle.load(policy_folder())
KEY = SigningKey.generate()
SIGNED = unpack(BUNDLE.to_archive(KEY))


def archive_of(*entries: tarfile.TarInfo, content: bytes = b"x") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for entry in entries:
            entry.size = len(content) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    return gzip.compress(packed.getvalue())


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def header_alone(kind: bytes) -> bytes:
    """A header that speaks of the next one: the library reads a chain of them by recursion."""
    return entry("x", kind).tobuf(tarfile.GNU_FORMAT)


def test_a_bundle_comes_back_as_it_went_and_the_same_files_make_the_same_archive() -> None:
    assert PolicyBundle.from_archive(BUNDLE.to_archive(KEY), KEY.verification_key) == BUNDLE
    assert BUNDLE.to_archive(None) == BUNDLE.to_archive(None)


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"not an archive",
        BUNDLE.to_archive(KEY)[:-9],
        BUNDLE.to_archive(KEY) + b"\0",
        BUNDLE.to_archive(KEY) + BUNDLE.to_archive(KEY),
        bytes(MAX_ARCHIVE_BYTES + 1),
        gzip.compress(bytes(MAX_UNPACKED_BYTES + 1)),
        gzip.compress(b"no tar" * 200),
        archive_of(entry("../method.rego")),
        archive_of(entry("/method.rego")),
        archive_of(entry("a/method.rego")),
        archive_of(entry("Method.rego")),
        archive_of(entry("method.rego.")),
        archive_of(entry("method.rego", tarfile.SYMTYPE, "/etc/passwd")),
        archive_of(entry("method.rego", tarfile.LNKTYPE, "x.rego")),
        archive_of(entry("policy", tarfile.DIRTYPE)),
        archive_of(entry("method.rego", tarfile.CHRTYPE)),
        archive_of(entry("method.rego"), entry("method.rego")),
        archive_of(*(entry(f"m{number}.rego") for number in range(MAX_FILES + 1))),
        gzip.compress(b"".join(header_alone(tarfile.GNUTYPE_LONGNAME) for _ in range(4_000))),
        gzip.compress(b"".join(header_alone(tarfile.XHDTYPE) for _ in range(4_000))),
    ],
)
def test_what_is_no_bundle_is_refused(archive: bytes) -> None:
    """archive MUSTs 1 to 3."""
    with pytest.raises(ValueError):
        unpack(archive)


def test_an_archive_is_never_unpacked_beyond_its_bound() -> None:
    """archive MUST 1: a kilobyte that unpacks to gigabytes costs no more than the bound."""
    bomb = gzip.compress(bytes(200 << 20))
    assert len(bomb) < MAX_ARCHIVE_BYTES
    with pytest.raises(ValueError, match="unpacks to more"):
        unpack(bomb)


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.pop(name) and None


def with_file(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({name: content})


@pytest.mark.parametrize(
    "spoil",
    [
        without(MANIFEST),
        without(DATA),
        with_file(MANIFEST, b'{"revision":"0","roots":["entente","policy"]}'),
        with_file(MANIFEST, b'{"revision":"' + BUNDLE.revision.encode() + b'","roots":[""]}'),
        with_file("method_test.rego", b"package entente\n"),
        with_file("decision.rego", b"package entente\n"),
        with_file("other.rego", b"package system.authz\n\nallow := true\n"),
        with_file(DATA, b"[]"),
        with_file(DATA, b"{}"),
        with_file(DATA, BUNDLE.data.replace(b"{", b"{ ", 1)),
        with_file("method.rego", b"\xff"),
    ],
)
def test_what_a_manifest_does_not_say_is_refused(spoil: Callable[[dict[str, bytes]], None]) -> None:
    files = BUNDLE.files()
    spoil(files)
    with pytest.raises(ValueError):
        PolicyBundle.from_archive(pack(files), None)


@pytest.mark.parametrize(
    "text",
    [
        "package system.authz\n\nallow := `\npackage entente\n`\n",
        "# package entente\n\npackage system.authz\n",
        "package entente_other\n",
        "",
    ],
)
def test_a_module_of_another_package_is_refused(text: str) -> None:
    """What stands in a text or a remark is no package."""
    with pytest.raises(ValueError, match="in the package entente"):
        edited(lambda modules, _: modules.update({"other.rego": text}))


def test_a_module_may_begin_with_remarks() -> None:
    edited(lambda modules, _: modules.update({"other.rego": "# one\n\n  # two\npackage entente.other\n"}))


def test_a_bundle_counts_by_the_one_key() -> None:
    """signature MUST 1."""
    require_signed(SIGNED, KEY.verification_key)
    with pytest.raises(SignatureError, match="another key"):
        require_signed(SIGNED, SigningKey.generate().verification_key)
    with pytest.raises(SignatureError, match="not signed"):
        require_signed(BUNDLE.files(), KEY.verification_key)


def token() -> list[str]:
    found: str = json.loads(SIGNED[SIGNATURES])["signatures"][0]
    return found.split(".")


def encoded(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def signatures(*tokens: str) -> bytes:
    return json.dumps({"signatures": list(tokens)}).encode()


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"[]",
        b"{}",
        signatures(),
        signatures(".".join(token()), ".".join(token())),
        signatures(".".join((encoded({"alg": "none"}), token()[1], ""))),
        signatures(".".join((encoded({"alg": "HS256"}), token()[1], token()[2]))),
        signatures(".".join((encoded({"alg": "ES256", "kid": "x"}), *token()[1:]))),
        signatures(".".join((encoded({"alg": "ES256", "crit": ["b64"]}), *token()[1:]))),
        signatures(".".join((*token()[:2], token()[2][:-4]))),
        signatures(".".join((*token()[:2], token()[2] + "=="))),
        signatures(".".join((*token()[:2], "A" * 86))),
        signatures(".".join((token()[0], encoded({"files": []}), token()[2]))),
        signatures(".".join(token()) + "."),
        json.dumps({"signatures": [7]}).encode(),
    ],
)
def test_a_signature_in_any_other_form_is_refused(spoilt: bytes) -> None:
    """signature MUSTs 1 and 2."""
    with pytest.raises(SignatureError):
        require_signed(SIGNED | {SIGNATURES: spoilt}, KEY.verification_key)


def test_every_file_is_signed_and_nothing_else_is_let_in() -> None:
    """signature MUST 2."""
    for changed in (
        {**SIGNED, "method.rego": SIGNED["method.rego"] + b"\n"},
        {**SIGNED, "more.rego": b"package entente\n"},
        {name: content for name, content in SIGNED.items() if name != "trees.rego"},
    ):
        with pytest.raises(SignatureError):
            require_signed(changed, KEY.verification_key)


def test_json_counts_in_one_form_only() -> None:
    """signature MUST 3: OPA hashes it parsed; two forms of one content must not pass for one another."""
    with pytest.raises(SignatureError):
        require_signed({**SIGNED, DATA: b" " + SIGNED[DATA]}, KEY.verification_key)
    with pytest.raises(ValueError, match="canonical"):
        sign({DATA: b'{"b":1,"a":2}'}, KEY)
    with pytest.raises(ValueError, match="line separator"):
        sign({DATA: '{"a":"\u2028"}'.encode()}, KEY)


def test_only_keys_on_p_256_are_taken(tmp_path: Path) -> None:
    """signature MUST 1."""
    for number, key in enumerate((rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1()))):
        private, public = tmp_path / f"{number}.key", tmp_path / f"{number}.pub"
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        with pytest.raises(ValueError, match="P-256"):
            SigningKey.read(private)
        with pytest.raises(ValueError, match="P-256"):
            VerificationKey.read(public)
