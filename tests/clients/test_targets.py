"""What is to be revoked, as people name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from certs.authority import Authority
from entente_sdk import targets
from entente_sdk.errors import RequestError

SHA256 = "AB:CD:" + ":".join(["00"] * 30)


def test_a_certificate_is_named_by_its_hash_however_it_is_written() -> None:
    assert targets.certificate(SHA256).certificate == "abcd" + "00" * 30
    assert targets.certificate(SHA256.lower().replace(":", "")) == targets.certificate(SHA256)


def test_a_certificate_is_named_by_its_file(tmp_path: Path) -> None:
    made = Authority.create(tmp_path / "authority").issue_agency("police.example", "northshire")
    assert targets.certificate(made.certificate.read_bytes()).certificate == made.thumbprint.hex()


@pytest.mark.parametrize("wrong", ["", "ab", "zz" * 32, "ab" * 33, b"no PEM"])
def test_what_names_no_certificate_is_refused_here(wrong: str | bytes) -> None:
    with pytest.raises(RequestError):
        targets.certificate(wrong)


def test_the_others_are_what_they_say() -> None:
    assert (targets.user("a.b/c", "u").user.agency, targets.user("a.b/c", "u").user.user) == ("a.b/c", "u")
    assert (targets.token("https://i", "t").token.issuer, targets.token("https://i", "t").token.token_id) == (
        "https://i",
        "t",
    )
    assert targets.issuer("https://i").issuer == "https://i"
    assert targets.agency("a.b/c").agency == "a.b/c"
