"""The server's TLS, tried with a raw TLS client: 1.3 with a certificate, and nothing else; and what gRPC tells of it.

gRPC reads its settings once per process, so the server runs in a process of its own.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs.authority import AgencyCredentials, Authority, BrokerCredentials

_SERVER = """
import asyncio, sys, time
from broker.identify.tls import require_tls13, server_credentials
require_tls13()
import grpc
from broker.identify.server_certificate import Offer, read_pair

class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        async def answer(request, context):
            return repr({name: list(values) for name, values in context.auth_context().items()}).encode()
        return grpc.unary_unary_rpc_method_handler(answer)

async def serve():
    certificate, key, root = (open(path, "rb").read() for path in sys.argv[1:4])
    offer = Offer(read_pair(certificate, key, int(time.time())), root)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    print(server.add_secure_port("127.0.0.1:0", server_credentials(lambda: offer)), flush=True)
    await server.start()
    await server.wait_for_termination()

asyncio.run(serve())
"""

_CALL = """
import sys, grpc
port, certificate, key, root = sys.argv[1], *(open(path, "rb").read() for path in sys.argv[2:5])
with grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(root, key, certificate)) as channel:
    print(channel.unary_unary("/any/Method")(b"", timeout=10).decode())
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def agency(authority: Authority) -> AgencyCredentials:
    return authority.issue_agency("police.example", "northshire")


@pytest.fixture(scope="module")
def port(authority: Authority) -> Iterator[int]:
    broker: BrokerCredentials = authority.issue_broker()
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_SSL_CIPHER_SUITES"}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, broker.certificate, broker.key, broker.root],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()


def client(root: Path, agency: AgencyCredentials | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(root)
    context.set_alpn_protocols(["h2"])
    # Only here to offer what the server must refuse.
    context.minimum_version = context.maximum_version = version
    if version == ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
    if agency is not None:
        context.load_cert_chain(agency.certificate, agency.key)
    return context


def first_bytes(port: int, context: ssl.SSLContext) -> tuple[str | None, bytes]:
    """The version agreed on, and what the server sends first. A refused client certificate shows at the first read."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        return secured.version(), secured.recv(64)


def test_tls13_with_a_client_certificate_is_served(port: int, agency: AgencyCredentials) -> None:
    version, settings = first_bytes(port, client(agency.root, agency, ssl.TLSVersion.TLSv1_3))
    assert version == "TLSv1.3"
    assert settings[3] == 4, "an HTTP/2 SETTINGS frame comes first"


def test_tls12_is_refused_in_the_handshake(port: int, agency: AgencyCredentials) -> None:
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        first_bytes(port, client(agency.root, agency, ssl.TLSVersion.TLSv1_2))


def test_a_client_without_a_certificate_is_refused(port: int, agency: AgencyCredentials) -> None:
    try:
        _, answer = first_bytes(port, client(agency.root, None, ssl.TLSVersion.TLSv1_3))
    except (ssl.SSLError, ConnectionResetError):
        return
    assert answer == b""


def test_a_certificate_of_a_stranger_is_refused(port: int, agency: AgencyCredentials, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path).issue_agency("police.example", "northshire")
    try:
        _, answer = first_bytes(port, client(agency.root, stranger, ssl.TLSVersion.TLSv1_3))
    except (ssl.SSLError, ConnectionResetError):
        return
    assert answer == b""


def test_the_auth_context_holds_what_the_stage_reads(port: int, agency: AgencyCredentials) -> None:
    call = subprocess.run(
        [sys.executable, "-c", _CALL, str(port), agency.certificate, agency.key, agency.root],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    context = eval(call.stdout)
    assert context["ssl_tls_version"] == [b"TLSv1.3"]
    assert context["ssl_negotiated_key_exchange_group"] == [b"X25519MLKEM768"], "hybrid, as both sides have it"
    assert context["x509_pem_cert"] == [agency.certificate.read_bytes()]
    assert context.get("x509_pem_cert_chain", [b""]) == [b""]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import grpc; from broker.identify.tls import *; require_tls13()", "was imported before"),
        ("from broker.identify.tls import *; server_credentials(None)", "require_tls13"),
    ],
)
def test_the_wrong_order_is_refused(program: str, message: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_SSL_CIPHER_SUITES"}
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=30, check=False
    )
    assert run.returncode == 1
    assert message in run.stderr.splitlines()[-1]
