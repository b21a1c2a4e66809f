"""What fails at the handshake is said in words: whose certificate, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from certs.authority import Authority
from entente_sdk import ConfigurationError, EntenteError, HandshakeError, UnavailableError
from tests.clients.conftest import Colour
from tests.support.fake_broker import FakeBroker


async def failure(colour: Colour, broker: FakeBroker, **changes: Any) -> EntenteError:
    client = colour.client(broker, **changes)
    with pytest.raises(EntenteError) as caught:
        await colour.run(client.directory.who_am_i)
    await colour.run(client.close)
    return caught.value


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "stranger")


async def test_no_certificate(colour: Colour, broker: FakeBroker) -> None:
    error = await failure(colour, broker, certificate=None, key=None)
    assert isinstance(error, HandshakeError)
    assert error.reason == "NO_CERTIFICATE"
    assert "asks for a certificate, and this profile has none" in error.message
    assert "Set certificate and key" in error.diagnostics()


async def test_a_strangers_certificate(colour: Colour, broker: FakeBroker, stranger: Authority) -> None:
    agency = stranger.issue_agency("police.example", "northshire")
    error = await failure(colour, broker, certificate=agency.certificate, key=agency.key)
    assert isinstance(error, HandshakeError)
    assert error.reason == "CERTIFICATE_REFUSED"
    assert "does not accept the certificate" in error.message
    assert "Entente development root" in error.message


async def test_an_untrusted_server(colour: Colour, broker: FakeBroker, stranger: Authority) -> None:
    error = await failure(colour, broker, ca=stranger.root)
    assert isinstance(error, HandshakeError)
    assert error.reason == "SERVER_UNTRUSTED"
    assert "is not trusted" in error.message


async def test_a_server_of_another_name(colour: Colour, broker: FakeBroker) -> None:
    error = await failure(colour, broker, server_name="other.example")
    assert isinstance(error, HandshakeError)
    assert error.reason == "SERVER_NAME_WRONG"
    assert "'other.example'" in error.message


async def test_nobody_there_is_not_a_handshake(colour: Colour, broker: FakeBroker) -> None:
    error = await failure(colour, broker, endpoint="127.0.0.1:1")
    assert isinstance(error, UnavailableError)
    assert error.reason == "NO_ANSWER"


async def test_a_server_name_may_differ_from_the_host(colour: Colour, broker: FakeBroker) -> None:
    client = colour.client(broker, server_name="localhost")
    assert (await colour.run(client.directory.who_am_i)).message.user == "o.reyes"
    await colour.run(client.close)


@pytest.mark.parametrize(
    ("field", "content", "words"),
    [
        ("key", None, "key cannot be read"),
        ("key", b"nothing", "key does not hold"),
        ("certificate", b"nothing", "certificate does not hold"),
        ("ca", b"nothing", "ca does not hold"),
    ],
)
async def test_files_that_cannot_be_used_are_named(
    colour: Colour, broker: FakeBroker, tmp_path: Path, field: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    error = await failure(colour, broker, **{field: path})
    assert isinstance(error, ConfigurationError)
    assert words in error.message


async def test_a_key_of_another_certificate_is_named(colour: Colour, broker: FakeBroker, stranger: Authority) -> None:
    other = stranger.issue_agency("police.example", "northshire")
    error = await failure(colour, broker, key=other.key)
    assert isinstance(error, ConfigurationError)
    assert "key does not belong to certificate" in error.message


@pytest.mark.parametrize("endpoint", ["broker.example", "broker.example:0", ":7443", "broker.example:port"])
async def test_an_endpoint_is_host_and_port(colour: Colour, broker: FakeBroker, endpoint: str) -> None:
    error = await failure(colour, broker, endpoint=endpoint)
    assert isinstance(error, ConfigurationError)
    assert "host:port" in error.message
