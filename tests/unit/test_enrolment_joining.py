"""The folder of an agency that joins: made step by step, resumed anywhere, and taking nobody else's certificate."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certs.authority import Authority
from certs.issuer import jwks_document
from entente_sdk.cli.agency import join
from entente_sdk.cli.agency.join import Tokens, finish
from entente_sdk.errors import ConfigurationError, IdentityError
from entente_sdk.joining.answers import Answers, read_request
from entente_sdk.joining.fingerprint import grouped, typed
from entente_sdk.joining.folder import JoinFolder
from entente_sdk.joining.network import NetworkFile, add_profile, read_network

JWKS = jwks_document([ec.generate_private_key(ec.SECP256R1()).public_key()]).decode()
ANSWERS = Answers(
    agency="police.example/fenmoor",
    display_name="Fenmoor Police",
    country="GB",
    level="LOCAL",
    contact="control room",
    issuer="https://issuer.police.example/fenmoor",
    jwks=JWKS,
)


@pytest.fixture
def place(tmp_path: Path) -> JoinFolder:
    made = JoinFolder(tmp_path / "fenmoor")
    made.keep(ANSWERS)
    made.make_key()
    made.make_request()
    return made


def issued(tmp_path: Path, place: JoinFolder, agency: str = "fenmoor") -> tuple[bytes, bytes]:
    """(certificate, root) of a new authority for the folder's request."""
    authority = Authority.create(tmp_path / "authority")
    request = read_request(place.request).certificate_request.encode()
    return authority.sign_request(request, "police.example", agency), authority.root.read_bytes()


def test_the_key_is_secret_from_the_first_byte_and_never_made_again(place: JoinFolder) -> None:
    before = place.key.read_bytes()
    assert stat.S_IMODE(place.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o700
    assert not place.make_key()
    assert place.key.read_bytes() == before
    assert sorted(path.name for path in place.path.iterdir()) == ["answers.json", "join-request.json", "key.pem"]


def test_the_request_says_what_was_answered_and_asks_for_one_name(place: JoinFolder) -> None:
    sent = read_request(place.request)
    assert sent == ANSWERS.enrolment(sent.certificate_request)
    request = x509.load_pem_x509_csr(sent.certificate_request.encode())
    assert request.is_signature_valid
    attribute = request.attributes.get_attribute_for_oid(NameOID.UNSTRUCTURED_NAME)
    assert attribute.value.decode() == ANSWERS.binding()
    assert ANSWERS.binding() != ANSWERS.changed({"jwks_uri": "https://elsewhere.example/jwks"}).binding()
    (extension,) = request.extensions
    assert list(extension.value) == [x509.UniformResourceIdentifier("spiffe://police.example/agency/fenmoor/gateway")]
    assert b"PRIVATE" not in place.request.read_bytes()


def test_it_goes_on_wherever_it_stopped(place: JoinFolder) -> None:
    before = place.fingerprint
    again = JoinFolder(place.path)
    assert not again.make_request()
    again.request.write_text(again.request.read_text()[:100])
    assert again.make_request()
    again.request.unlink()
    assert again.make_request()
    assert again.fingerprint == before
    # Another answer is another request, of the same key.
    again.keep(again.answers().changed({"contact": "front desk"}))
    assert again.make_request()
    assert read_request(again.request).agency.contact == "front desk"
    assert again.fingerprint == before
    # Another key under an old request is noticed.
    again.key.unlink()
    again.make_key()
    assert again.make_request()


def test_a_certificate_is_taken_for_this_key_this_name_and_this_network(tmp_path: Path, place: JoinFolder) -> None:
    certificate, root = issued(tmp_path, place)
    other = JoinFolder(tmp_path / "other")
    other.keep(ANSWERS)
    other.make_key()
    with pytest.raises(ConfigurationError, match="another key"):
        other.take_certificate(certificate, root)
    with pytest.raises(ConfigurationError, match="network's authority"):
        place.take_certificate(certificate, Authority.create(tmp_path / "foreign").root.read_bytes())
    for damaged in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ConfigurationError):
            place.take_certificate(damaged, root)
    assert not place.certificate.exists()
    place.take_certificate(certificate, root)
    assert place.certificate.read_bytes() == certificate
    with pytest.raises(ConfigurationError, match="another name"):
        place.keep(ANSWERS.changed({"agency": "police.example/elsewhere"}))


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, place: JoinFolder) -> None:
    certificate, root = issued(tmp_path, place)
    (place.path / "answers.json").write_text(ANSWERS.changed({"workload": "desk"}).to_json())
    with pytest.raises(ConfigurationError, match=r"not spiffe://.*/fenmoor/desk"):
        place.take_certificate(certificate, root)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("agency", "fenmoor"),
        ("agency", "police.example/Fenmoor"),
        ("agency", "police.example/../northshire"),
        ("country", "gb"),
        ("country", "GBR"),
        ("level", "GALACTIC"),
        ("workload", "../x"),
        ("display_name", "a\nb"),
        ("contact", "x" * 201),
        ("issuer", "http://issuer.example"),
        ("jwks_uri", "http://issuer.example/jwks"),
    ],
)
def test_an_answer_that_no_registry_takes_is_refused_here(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        JoinFolder(tmp_path / "x").keep(ANSWERS.changed({name: text}))


def test_what_is_missing_is_named_in_the_order_of_the_questions() -> None:
    assert Answers().missing() == ["agency", "display_name", "country", "level", "contact", "issuer", "keys"]
    assert ANSWERS.missing() == []
    assert ANSWERS.changed({"jwks_uri": "https://issuer.example/jwks"}).jwks == ""


def test_answers_and_requests_of_somebody_else_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    for text in ("", "[]", json.dumps({"agency": 1}), json.dumps({"other": "x"}), "{" * 10_000):
        (folder / "answers.json").write_text(text)
        with pytest.raises(ConfigurationError):
            JoinFolder(folder).answers()
    for text in ("", "[]", '{"agency": 1}', '{"nobody": "knows"}', "{" * 10_000):
        (folder / "join-request.json").write_text(text)
        with pytest.raises(ConfigurationError):
            read_request(folder / "join-request.json")


def test_a_fingerprint_is_typed_as_it_is_heard() -> None:
    text = "0123456789abcdef" * 4
    lines = grouped(text)
    assert lines == ["0123 4567 89ab cdef"] * 4
    assert typed("\n".join(lines)) == text
    assert typed(":".join(text[i : i + 2] for i in range(0, 64, 2)).upper()) == text
    for wrong in ("", text[:-1], text + "0", text[:-1] + "g", text[:-1] + "١"):
        with pytest.raises(ConfigurationError):
            typed(wrong)


NETWORK = 'endpoint = "broker.example:8443"\naudience = "urn:x"\nlog_keys = ["k"]\nroot = "PEM"\n'


def test_a_network_file_is_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    path.write_text(NETWORK)
    assert read_network(path).log_keys == ("k",)
    for wrong in ("", NETWORK + 'more = "x"\n', NETWORK.replace('["k"]', '"k"'), NETWORK.replace('["k"]', "[]"), "["):
        path.write_text(wrong)
        with pytest.raises(ConfigurationError):
            read_network(path)


def test_a_profile_gets_its_tokens_in_one_way_and_names_the_issuers_authority(
    tmp_path: Path, place: JoinFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`agency join --client-id --issuer-ca`: what is not usable leaves no profile behind; a login may come later."""
    certificate, root = tmp_path / "certificate.pem", tmp_path / "root.pem"
    pem, root_pem = issued(tmp_path, place)
    certificate.write_bytes(pem)
    root.write_bytes(root_pem)
    config = tmp_path / "config.toml"
    monkeypatch.setenv("ENTENTE_CONFIG", str(config))
    network = NetworkFile("127.0.0.1:9", "urn:x", ("broker.example+37630038+AT41gcxY",), root_pem.decode())
    absent = tmp_path / "absent.pem"
    for wrong in (
        Tokens(None, None, "gateway", absent),
        Tokens("token", None, None, root),
        Tokens("token", None, "gateway", None),
        Tokens(None, None, None, None),
    ):
        with pytest.raises(ConfigurationError):
            finish(place, certificate, network, wrong, "fenmoor", None)
        assert not config.exists()
    asked: list[str] = []

    def first_call(name: str, _folder: Path) -> None:
        asked.append(name)
        raise IdentityError("LOGIN_NEEDED", "nobody is logged in under this profile")

    monkeypatch.setattr(join, "_first_call", first_call)
    finish(place, certificate, network, Tokens(None, None, "gateway", root), "fenmoor", None)
    made = tomllib.loads(config.read_text())["profiles"]["fenmoor"]
    assert asked == ["fenmoor"]
    assert (made["issuer"], made["client_id"], made["resource"]) == (ANSWERS.issuer, "gateway", "urn:x")
    assert made["issuer_ca"] == str(root)


def test_a_profile_is_added_and_what_else_the_file_holds_stays(tmp_path: Path) -> None:
    config = tmp_path / "new/config.toml"
    strange = {"endpoint": 'a"b\\c', "log_key": ["x", "é\U0001f600\x7f\x01"]}
    assert add_profile(config, "fen.moor", strange)
    assert tomllib.loads(config.read_text())["profiles"]["fen.moor"] == strange
    config.write_text("# mine\ndefault_profile = 'a'\n[profiles.a]\nendpoint = 'x'")
    before = config.read_text()
    assert add_profile(config, "b", strange)
    assert config.read_text().startswith(before)
    assert set(tomllib.loads(config.read_text())["profiles"]) == {"a", "b"}
    assert not add_profile(config, "b", strange)
    with pytest.raises(ConfigurationError, match="another profile"):
        add_profile(config, "b", {"endpoint": "y"})
