"""Server certificate, trust roots and revocation lists change under load, without a restart.

No valid call fails while they change, and afterwards nothing is accepted that leads to what is gone: neither a new
handshake, nor a call on an old connection, nor a stream that was open all the while.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs import network
from certs.authority import AgencyCredentials, Authority, BrokerCredentials
from certs.files import PUBLIC_MODE, SECRET_MODE, write_atomically
from tests.flows.test_revocation import REGISTRAR, REVOKE, revoking
from tests.support.exchanges import OFFICER, REGIONAL, WHO_AM_I, Follower
from tests.support.house import House, house, reason_of, submitted, until
from tests.support.live import CHANNEL_OPTIONS, LiveBroker, live_broker
from tests.support.workers import remote_to_each

PAUSE_SECONDS = 0.01
ROUNDS_OF_LOAD = 20


@dataclass
class Load:
    """Calls that go on while a test changes things: on one lasting connection, and on a new one each time."""

    directory: Path
    address: str
    served: dict[str, int] = field(default_factory=lambda: {"lasting": 0, "new": 0})
    failures: list[str] = field(default_factory=list)
    stopped: bool = False

    def credentials(self) -> tuple[grpc.ChannelCredentials, tuple[tuple[str, str], ...]]:
        """What the party's files hold now, and a token bound to it: read in one turn, as a rotation writes them."""
        files = officer_files(self.directory)
        credentials = grpc.ssl_channel_credentials(
            files.root.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
        )
        return credentials, (("authorization", f"Bearer {network.token(self.directory, OFFICER)}"),)

    async def lasting(self) -> None:
        """One connection for as long as its certificate is the party's own; then the next."""
        while not self.stopped:
            thumbprint = officer_files(self.directory).thumbprint
            credentials, metadata = self.credentials()
            async with grpc.aio.secure_channel(self.address, credentials, CHANNEL_OPTIONS) as channel:
                while not self.stopped and officer_files(self.directory).thumbprint == thumbprint:
                    await self._call("lasting", channel, metadata)

    async def new(self) -> None:
        while not self.stopped:
            credentials, metadata = self.credentials()
            async with grpc.aio.secure_channel(self.address, credentials, CHANNEL_OPTIONS) as channel:
                await self._call("new", channel, metadata)

    async def _call(self, kind: str, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        try:
            await channel.unary_unary(WHO_AM_I)(b"", metadata=metadata, timeout=20)
            self.served[kind] += 1
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"{kind}: {error.code()} {error.details()}")
        await asyncio.sleep(PAUSE_SECONDS)

    async def goes_on(self) -> None:
        """Until both kinds have been served some more."""
        goal = {kind: served + ROUNDS_OF_LOAD for kind, served in self.served.items()}
        await until(lambda: bool(self.failures) or all(self.served[kind] >= goal[kind] for kind in goal), 60.0)
        assert not self.failures


@asynccontextmanager
async def loaded(directory: Path, address: str) -> AsyncIterator[Load]:
    load = Load(directory, address)
    tasks = [asyncio.create_task(load.lasting()), asyncio.create_task(load.new())]
    try:
        yield load
    finally:
        load.stopped = True
        await asyncio.gather(*tasks)


def officer_files(directory: Path) -> AgencyCredentials:
    return Authority.open(directory / "authority").agency(*OFFICER.agency.split("/"))


def reissue(files: AgencyCredentials, signer: Authority) -> None:
    """A new key and certificate for the same agency; its issuer stays."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.UniformResourceIdentifier(f"spiffe://{files.trust_domain}/agency/{files.agency}/gateway")
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomically(files.key, private, SECRET_MODE)
    write_atomically(files.certificate, signer.sign_request(request, files.trust_domain, files.agency), PUBLIC_MODE)


async def presented_by_server(address: str, files: AgencyCredentials) -> bytes:
    """The server's certificate in a handshake now, in DER."""
    context = ssl.create_default_context(cafile=str(files.root))
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(files.certificate, files.key)
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


async def taken(place: House, claim: Callable[[], bool]) -> None:
    await until(claim)
    assert claim(), "the broker did not take the change"


async def test_the_server_certificate_rotates_under_load(tmp_path: Path) -> None:
    async with house(tmp_path / "network") as place, loaded(place.directory, place.broker.address) as load:
        await load.goes_on()
        authority, before = Authority.open(place.directory / "authority"), place.broker.material.offer
        renewed = authority.issue_broker()
        await taken(place, lambda: place.broker.material.offer is not before)
        expected = x509.load_pem_x509_certificate(renewed.certificate.read_bytes())
        shown = await presented_by_server(place.broker.address, officer_files(place.directory))
        assert shown == expected.public_bytes(serialization.Encoding.DER)
        await load.goes_on()


async def test_the_roots_rotate_under_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with house(tmp_path / "network") as place:
        await submitted(place, OFFICER)
        old, new = Authority.open(place.directory / "authority"), Authority.create(tmp_path / "next")
        roots, lists, material = old.root, old.revocations, place.broker.material
        former = place.channel(OFFICER)
        former_token = place.metadata(OFFICER)
        await former.unary_unary(WHO_AM_I)(b"", metadata=former_token, timeout=20)
        former_files = [
            path.read_bytes()
            for path in (officer_files(place.directory).key, officer_files(place.directory).certificate)
        ]
        async with Follower(place, REGIONAL) as follower, loaded(place.directory, place.broker.address) as load:
            await follower.acknowledge(await follower.batch())
            await load.goes_on()

            write_atomically(lists, lists.read_bytes() + new.revocations.read_bytes(), PUBLIC_MODE)
            write_atomically(roots, roots.read_bytes() + new.root.read_bytes(), PUBLIC_MODE)
            await taken(place, lambda: len(material.roots.current.certificates) == 2)
            await load.goes_on()

            before = material.offer
            place_server(place.directory, new.issue_broker())
            await taken(place, lambda: material.offer is not before)
            reissue(officer_files(place.directory), new)
            await load.goes_on()

            write_atomically(roots, new.root.read_bytes(), PUBLIC_MODE)
            write_atomically(lists, new.revocations.read_bytes(), PUBLIC_MODE)
            await taken(place, lambda: len(material.roots.current.certificates) == 1)
            await load.goes_on()

            # The stream was open all the while; its agency has not moved to the new root.
            assert (await follower.refused()).reason == "CERTIFICATE_INVALID"
            await refused_on_record(former, former_token, "CERTIFICATE_INVALID")
            await refused_by_tls(place.directory, place.broker.address, *former_files, former_token)
            await load.goes_on()
        with capsys.disabled():
            print(f"\nroots and server certificate rotated: calls served {load.served}, failed {len(load.failures)}")


async def refused_on_record(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], reason: str) -> None:
    """A call on a connection that was there before."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(WHO_AM_I)(b"", metadata=metadata, timeout=20)
    assert reason_of(caught.value).reason == reason


async def refused_by_tls(
    directory: Path, address: str, key: bytes, certificate: bytes, metadata: tuple[tuple[str, str], ...]
) -> None:
    """A new connection by a client that trusts the server's new root, with a certificate of the root that is gone."""
    roots = officer_files(directory).root.read_bytes()
    credentials = grpc.ssl_channel_credentials(roots, key, certificate)
    async with grpc.aio.secure_channel(address, credentials, CHANNEL_OPTIONS) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(WHO_AM_I)(b"", metadata=metadata, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_revocation_by_list_ends_calls_and_streams(tmp_path: Path) -> None:
    async with house(tmp_path / "network") as place:
        await submitted(place, OFFICER)
        authority = Authority.open(place.directory / "authority")
        leaf = x509.load_pem_x509_certificate(authority.agency(*REGIONAL.agency.split("/")).certificate.read_bytes())
        async with Follower(place, REGIONAL) as follower, loaded(place.directory, place.broker.address) as load:
            await follower.acknowledge(await follower.batch())
            authority.revoke(leaf.serial_number)
            assert (await follower.refused()).reason == "CERTIFICATE_REVOKED"
            await refused_on_record(place.channel(REGIONAL), place.metadata(REGIONAL), "CERTIFICATE_REVOKED")
            await load.goes_on()


async def test_a_revoked_root_ends_calls_and_streams(tmp_path: Path) -> None:
    """By the broker's own revocations, that is: whoever leads to it is gone, and so is who revoked it, unanswered."""
    async with house(tmp_path / "network") as place:
        await submitted(place, OFFICER)
        root = x509.load_pem_x509_certificate(officer_files(place.directory).root.read_bytes())
        async with Follower(place, REGIONAL) as follower:
            await follower.acknowledge(await follower.batch())
            request = revoking(certificate=root.fingerprint(hashes.SHA256()).hex())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await place.unary(REVOKE, request.SerializeToString(), REGISTRAR)
            assert reason_of(caught.value).reason == "CERTIFICATE_REVOKED"
            assert (await follower.refused()).reason == "CERTIFICATE_REVOKED"
            await refused_on_record(place.channel(OFFICER), place.metadata(OFFICER), "CERTIFICATE_REVOKED")


async def test_every_entry_says_what_tls_agreed_on(tmp_path: Path) -> None:
    async with house(tmp_path / "network") as place:
        channel = place.channel(OFFICER)
        await channel.unary_unary(WHO_AM_I)(b"", metadata=place.metadata(OFFICER), timeout=20)
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(WHO_AM_I)(b"", timeout=20)
        leaves = await place.settled(0, at_least=2)
        assert {leaf["outcome"] for leaf in leaves} == {"allowed", "denied"}
        # Both sides are gRPC's, and both have the post-quantum hybrid.
        assert all(leaf["tls"] == {"version": "TLSv1.3", "group": "X25519MLKEM768"} for leaf in leaves)


async def test_every_worker_takes_a_list_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two workers, a connection to each: from the list's writing, each refuses within moments, and for good."""
    with live_broker(tmp_path / "network", workers=2) as live:
        async with remote_to_each(live) as remotes:
            authority = Authority.open(live.network.directory / "authority")
            files = authority.agency(*OFFICER.agency.split("/"))
            leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            began = time.monotonic()
            authority.revoke(leaf.serial_number)
            for remote in remotes.values():
                await until_refused(remote.channel(OFFICER), remote.metadata(OFFICER), "CERTIFICATE_REVOKED")
            with capsys.disabled():
                print(f"\na list counted in {len(remotes)} workers after {time.monotonic() - began:.2f} s")
            for remote in remotes.values():
                await refused_on_record(remote.channel(OFFICER), remote.metadata(OFFICER), "CERTIFICATE_REVOKED")


async def test_roots_and_server_certificate_rotate_under_load_over_two_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "network"
    with live_broker(directory, workers=2) as live:
        old, new = Authority.open(directory / "authority"), Authority.create(tmp_path / "next")
        roots, lists = old.root, old.revocations
        files = officer_files(directory)
        former_files = files.key.read_bytes(), files.certificate.read_bytes()
        async with remote_to_each(live) as remotes, loaded(directory, live.address) as load:
            former = [(remote.channel(OFFICER), remote.metadata(OFFICER)) for remote in remotes.values()]
            await load.goes_on()

            write_atomically(lists, lists.read_bytes() + new.revocations.read_bytes(), PUBLIC_MODE)
            write_atomically(roots, roots.read_bytes() + new.root.read_bytes(), PUBLIC_MODE)
            await taken_by_both(live, roots=2)
            await load.goes_on()

            served = new.issue_broker()
            place_server(directory, served)
            expected = x509.load_pem_x509_certificate(served.certificate.read_bytes())
            await taken_by_both(live, roots=2, server_not_after=int(expected.not_valid_after_utc.timestamp()))
            reissue(files, new)
            await load.goes_on()

            write_atomically(roots, new.root.read_bytes(), PUBLIC_MODE)
            write_atomically(lists, new.revocations.read_bytes(), PUBLIC_MODE)
            await taken_by_both(live, roots=1)
            await load.goes_on()

            for channel, metadata in former:
                await refused_on_record(channel, metadata, "CERTIFICATE_INVALID")
            for _ in range(ROUNDS_OF_LOAD):
                shown = await presented_by_server(live.address, files)
                assert shown == expected.public_bytes(serialization.Encoding.DER)
                await refused_by_tls(directory, live.address, *former_files, former[0][1])
            await load.goes_on()
        with capsys.disabled():
            print(f"\nthe same over {len(former)} workers: calls served {load.served}, failed {len(load.failures)}")


def place_server(directory: Path, served: BrokerCredentials) -> None:
    folder = directory / "authority/broker"
    write_atomically(folder / "key.pem", served.key.read_bytes(), SECRET_MODE)
    write_atomically(folder / "cert.pem", served.certificate.read_bytes(), PUBLIC_MODE)


async def taken_by_both(live: LiveBroker, *, roots: int, server_not_after: int = 0) -> None:
    """Both workers have said that they took so many roots with a list each, and this server certificate."""

    def said() -> int:
        return sum(
            len(line["roots"]) == len(line["list_numbers"]) == roots
            and server_not_after in (0, line["server_not_after"])
            for line in live.said("tls_files_taken")
        )

    await until(lambda: said() >= live.workers, 60.0)
    assert said() >= live.workers, "the workers did not take the change"


async def until_refused(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], reason: str) -> None:
    """Calls that are served until one is refused for this reason."""
    for _ in range(1000):
        try:
            await channel.unary_unary(WHO_AM_I)(b"", metadata=metadata, timeout=20)
        except grpc.aio.AioRpcError:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    await refused_on_record(channel, metadata, reason)
