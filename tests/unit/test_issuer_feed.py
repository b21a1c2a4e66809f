"""The issuers in force: three sources in one set, refreshed by the clock, kept through an outage, and no longer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from broker.domain.errors import IdentityError, UnavailableError
from broker.domain.issuer import RegisteredIssuer
from broker.identify import issuer_feed
from broker.identify.issuer_feed import IssuerFeed, Refreshing
from broker.identify.issuers import IssuerEntry, IssuerFileError, Issuers
from broker.identify.key_cache import KeyCache
from broker.identify.token import TokenVerifier
from certs.issuer import jwks_document
from tests.support.house import until
from tests.support.identities import AUDIENCE, Agency, SetClock, p256
from tests.support.key_server import KeyServer, key_server

ALFA, BRAVO = Agency("alfa"), Agency("bravo")
REFRESH, OLDEST = 60.0, 3600.0


def keys_of(*agencies: Agency) -> bytes:
    return jwks_document([agency.issuer_key.public_key() for agency in agencies])


OTHER_KEYS = jwks_document([p256("another").public_key()])


class Desk:
    """A feed over a folder and one key server, with a clock that stands still, and what the registry holds."""

    def __init__(self, folder: Path, server: KeyServer) -> None:
        self.folder = folder
        self.server = server
        self.clock = SetClock()
        self.registry: list[RegisteredIssuer] = []
        self.issuers = Issuers()
        self.tokens = TokenVerifier(self.issuers, AUDIENCE, self.clock)
        self.feed: IssuerFeed | None = None

    def make(self, *entries: IssuerEntry) -> IssuerFeed:
        """A feed as a start of the broker makes it."""
        self.issuers = Issuers()
        self.tokens = TokenVerifier(self.issuers, AUDIENCE, self.clock)
        cache = KeyCache(self.folder / "issuers")
        refreshing = Refreshing(REFRESH, OLDEST, self.server.ca)
        self.feed = IssuerFeed(self.issuers, entries, lambda: self.registry, cache, self.clock, refreshing)
        return self.feed

    async def restart(self, *entries: IssuerEntry) -> None:
        await self.stop()
        await self.make(*entries).start()

    async def stop(self) -> None:
        if self.feed is not None:
            await self.feed.aclose()
            self.feed = None

    def fetched(self, agency: Agency = ALFA) -> IssuerEntry:
        """This agency's issuer, with its keys at the server."""
        return IssuerEntry(agency.issuer, agency.id, jwks_uri=self.server.url, ca=self.server.ca)

    def answer(self, agency: Agency = ALFA, token: str = "") -> str:
        """What a token of this agency gets now: empty when it is accepted."""
        try:
            self.tokens.check(token or agency.token(), agency.peer)
        except (IdentityError, UnavailableError) as error:
            return error.reason
        return ""

    async def refresh(self) -> None:
        """Let the next fetch fall due, and wait until it was made and read."""
        asked = self.server.connections
        self.clock.seconds += REFRESH * 1.2
        await until(lambda: self.server.connections > asked)
        assert self.feed is not None
        await until(lambda: all(source.fetch is None for source in self.feed._sources.values()))


@pytest_asyncio.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(issuer_feed, "LOOK_SECONDS", 0.01)
    async with key_server(tmp_path / "server") as server:
        server.publish(keys_of(ALFA))
        made = Desk(tmp_path, server)
        try:
            yield made
        finally:
            await made.stop()


@pytest_asyncio.fixture
async def abroad(tmp_path: Path) -> AsyncIterator[KeyServer]:
    async with key_server(tmp_path / "abroad") as server:
        server.publish(keys_of(BRAVO))
        yield server


def life(desk: Desk, **changes: Any) -> dict[str, Any]:
    """Claims that begin now, after the clock was moved."""
    now = int(desk.clock.seconds)
    return {"iat": now, "nbf": now, "exp": now + 300, **changes}


class TestSources:
    async def test_a_file_a_url_and_the_registry_are_one_set(self, desk: Desk, abroad: KeyServer) -> None:
        charlie, delta = Agency("charlie"), Agency("delta")
        abroad.publish(keys_of(delta))
        desk.registry = [
            RegisteredIssuer(charlie.issuer, str(charlie.id), jwks=keys_of(charlie).decode()),
            RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks_uri=desk.server.url),
        ]
        elsewhere = IssuerEntry(delta.issuer, delta.id, jwks_uri=abroad.url, ca=abroad.ca)
        await desk.make(BRAVO.entry(desk.folder), elsewhere).start()
        assert [desk.answer(each) for each in (ALFA, BRAVO, charlie, delta)] == [""] * 4

    @pytest.mark.parametrize(
        "entries",
        [
            [IssuerEntry(ALFA.issuer, ALFA.id, Path("absent.json"))],
            [IssuerEntry(ALFA.issuer, ALFA.id, jwks_uri="http://issuer.example")],
            [IssuerEntry(ALFA.issuer, ALFA.id, jwks_uri="https://u@issuer.example")],
            [IssuerEntry("http://issuer.example", ALFA.id, jwks_uri="https://issuer.example")],
            [IssuerEntry(ALFA.issuer, ALFA.id, jwks_uri="https://a.example")] * 2,
        ],
    )
    async def test_a_bad_configuration_refuses_the_start(self, desk: Desk, entries: Sequence[IssuerEntry]) -> None:
        with pytest.raises(IssuerFileError):
            desk.make(*entries)

    async def test_two_files_with_one_key_refuse_the_start(self, desk: Desk) -> None:
        shared = IssuerEntry(BRAVO.issuer, BRAVO.id, ALFA.entry(desk.folder).jwks)
        with pytest.raises(IssuerFileError, match="another issuer"):
            desk.make(ALFA.entry(desk.folder), shared)


class TestRegistry:
    async def test_a_registered_issuer_counts_and_its_removal_ends_its_tokens(self, desk: Desk) -> None:
        feed = desk.make()
        assert desk.answer(BRAVO) == "ISSUER_NOT_ALLOWED"
        desk.registry = [RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks=keys_of(BRAVO).decode())]
        feed.look_again()
        assert desk.answer(BRAVO) == ""
        desk.registry = []
        feed.look_again()
        assert desk.answer(BRAVO) == "ISSUER_NOT_ALLOWED"

    async def test_what_did_not_change_goes_on_when_something_else_does(self, desk: Desk) -> None:
        """A registered issuer keeps its keys, and nobody's accepted tokens are checked anew."""
        registered = RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks_uri=desk.server.url)
        desk.registry = [registered, RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks=keys_of(BRAVO).decode())]
        feed = desk.make()
        await feed.start()
        before = desk.issuers.current
        feed.look_again()
        assert desk.issuers.current is before
        desk.registry = [registered]
        feed.look_again()
        assert desk.answer(ALFA) == ""

    async def test_other_keys_replace_the_old_at_once(self, desk: Desk) -> None:
        desk.registry = [RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks=keys_of(BRAVO).decode())]
        feed = desk.make()
        token = BRAVO.token()
        assert desk.answer(BRAVO, token) == ""
        desk.registry = [RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks=OTHER_KEYS.decode())]
        feed.look_again()
        assert desk.answer(BRAVO, token) == "TOKEN_INVALID"

    @pytest.mark.parametrize(
        "bad",
        [
            RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks="{}"),
            RegisteredIssuer(BRAVO.issuer, "nonsense", jwks=keys_of(BRAVO).decode()),
            RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks_uri="https://u@issuer.example"),
            RegisteredIssuer(BRAVO.issuer, str(BRAVO.id)),
            RegisteredIssuer("http://issuer.example", str(BRAVO.id), jwks=keys_of(BRAVO).decode()),
            # Its keys are those of an issuer in force, or its name is.
            RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks=keys_of(ALFA).decode()),
            RegisteredIssuer(ALFA.issuer, str(BRAVO.id), jwks=keys_of(BRAVO).decode()),
            RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks=OTHER_KEYS.decode()),
        ],
    )
    async def test_who_collides_is_refused_alone(self, desk: Desk, bad: RegisteredIssuer) -> None:
        """The configuration's issuer, and another registered one, stay as they are."""
        charlie = Agency("charlie")
        good = RegisteredIssuer(charlie.issuer, str(charlie.id), jwks=keys_of(charlie).decode())
        desk.registry = [bad, good]
        desk.make(ALFA.entry(desk.folder))
        assert desk.answer(ALFA) == desk.answer(charlie) == ""
        assert desk.answer(BRAVO) == "ISSUER_NOT_ALLOWED"

    async def test_a_refused_one_counts_as_soon_as_nothing_stands_against_it(self, desk: Desk) -> None:
        first = RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks=keys_of(ALFA, BRAVO).decode())
        second = RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks=keys_of(BRAVO).decode())
        desk.registry = [first, second]
        feed = desk.make()
        assert desk.answer(BRAVO) == "ISSUER_NOT_ALLOWED"
        desk.registry = [RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks=keys_of(ALFA).decode()), second]
        feed.look_again()
        assert desk.answer(ALFA) == desk.answer(BRAVO) == ""


class TestFiles:
    async def test_a_changed_file_is_taken_up_and_a_withdrawn_key_ends_its_tokens(self, desk: Desk) -> None:
        entry = ALFA.entry(desk.folder)
        await desk.make(entry).start()
        token = ALFA.token()
        caller = desk.tokens.check(token, ALFA.peer)
        assert entry.jwks is not None
        entry.jwks.write_bytes(OTHER_KEYS)
        await until(lambda: desk.answer(ALFA, token) != "")
        assert desk.answer(ALFA, token) == "TOKEN_INVALID"
        with pytest.raises(IdentityError, match="withdrawn"):
            desk.tokens.require_still_valid(caller)

    async def test_a_file_that_turns_bad_concerns_its_own_issuer_and_not_at_once(self, desk: Desk) -> None:
        """Its keys count for as long as fetched ones do; the other issuer goes on."""
        entry = ALFA.entry(desk.folder)
        assert entry.jwks is not None
        await desk.make(entry, BRAVO.entry(desk.folder)).start()
        entry.jwks.unlink()
        await until(lambda: desk.feed is not None and desk.feed._sources[ALFA.issuer].problem != "")
        assert desk.answer(ALFA) == desk.answer(BRAVO) == ""
        desk.clock.seconds += OLDEST + 1
        await until(lambda: desk.answer(BRAVO, BRAVO.token(**life(desk))) == "")
        assert desk.answer(ALFA, ALFA.token(**life(desk))) == "ISSUER_UNAVAILABLE"
        assert desk.answer(BRAVO, BRAVO.token(**life(desk))) == ""
        ALFA.entry(desk.folder)
        await until(lambda: desk.answer(ALFA, ALFA.token(**life(desk))) == "")
        assert desk.answer(ALFA, ALFA.token(**life(desk))) == ""


class TestFetched:
    async def test_keys_are_there_when_it_has_started(self, desk: Desk) -> None:
        await desk.make(desk.fetched()).start()
        assert desk.answer() == ""

    async def test_nothing_that_a_token_says_is_followed(self, desk: Desk) -> None:
        """Unknown keys and issuers, headers and claims that name places: a listener hears nobody, nor the issuer."""
        heard: list[object] = []

        def hear(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(writer.get_extra_info("peername"))
            writer.close()

        await desk.make(desk.fetched()).start()
        asked = desk.server.connections
        async with await asyncio.start_server(hear, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            for place in (f"https://localhost:{port}", f"http://127.0.0.1:{port}", desk.server.url):
                for header in (
                    {"kid": place},
                    {"jku": place},
                    {"x5u": place},
                    {"x5c": [place]},
                    {"jwk": {"kty": "EC", "x5u": place}},
                    {"jku": place, "kid": "unknown", "crit": ["jku"]},
                ):
                    assert desk.answer(token=ALFA.token(header)) in ("TOKEN_INVALID", "TOKEN_MALFORMED")
                assert desk.answer(token=ALFA.token(iss=place)) == "ISSUER_NOT_ALLOWED"
                assert desk.answer(token=ALFA.token({"kid": "unknown"}, jwks_uri=place, jku=place)) == "TOKEN_INVALID"
            await asyncio.sleep(0.2)
            assert heard == []
            assert desk.server.connections == asked
            # The listener does hear who comes.
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: heard != [])
            writer.close()
            assert len(heard) == 1

    async def test_a_new_key_is_known_and_the_old_one_ends_at_the_next_fetch(self, desk: Desk) -> None:
        await desk.make(desk.fetched()).start()
        desk.server.publish(OTHER_KEYS)
        assert desk.answer() == ""
        await desk.refresh()
        assert desk.answer(token=ALFA.token(**life(desk))) == "TOKEN_INVALID"

    async def test_the_same_keys_are_the_same_generation(self, desk: Desk) -> None:
        await desk.make(desk.fetched()).start()
        generation = desk.issuers.current.generation
        desk.server.publish(json.dumps(json.loads(keys_of(ALFA))).encode())
        await desk.refresh()
        assert desk.issuers.current.generation == generation

    @pytest.mark.parametrize("broken", [b"{}", b"<html>", b'{"keys": [{"kty": "oct", "kid": "a", "k": "AA"}]}'])
    async def test_an_outage_ends_at_its_age_and_not_before(self, desk: Desk, broken: bytes) -> None:
        await desk.make(desk.fetched()).start()
        began = desk.clock.seconds
        caller = desk.tokens.check(ALFA.token(), ALFA.peer)
        desk.server.publish(broken)
        await desk.refresh()
        desk.clock.seconds = began + OLDEST
        token = ALFA.token(**life(desk))
        assert desk.answer(token=token) == ""
        desk.clock.seconds = began + OLDEST + 1
        # Accepted a moment ago, and remembered as such: it does not count either.
        assert desk.answer(token=token) == "ISSUER_UNAVAILABLE"
        assert desk.answer(token=ALFA.token(**life(desk, jti="fresh"))) == "ISSUER_UNAVAILABLE"
        with pytest.raises(UnavailableError, match="ISSUER_UNAVAILABLE"):
            desk.tokens.require_still_valid(caller)
        desk.server.publish(keys_of(ALFA))
        await desk.refresh()
        assert desk.answer(token=ALFA.token(**life(desk))) == ""

    async def test_the_age_counts_from_when_the_question_was_asked(self, desk: Desk) -> None:
        """An answer that took long is as old as its question."""
        await desk.make(desk.fetched()).start()
        began = desk.clock.seconds + REFRESH * 1.2
        raw = keys_of(ALFA)

        async def slow(writer: asyncio.StreamWriter) -> None:
            desk.clock.seconds = began + 100
            desk.server.publish(raw)
            await desk.server.behaviour(writer)

        desk.server.behaviour = slow
        await desk.refresh()
        desk.server.publish(b"", status="500 Error")
        desk.clock.seconds = began + OLDEST
        assert desk.answer(token=ALFA.token(**life(desk))) == ""
        desk.clock.seconds = began + OLDEST + 1
        assert desk.answer(token=ALFA.token(**life(desk))) == "ISSUER_UNAVAILABLE"

    async def test_never_reached_is_unavailable_and_starts_all_the_same(self, desk: Desk) -> None:
        desk.server.publish(b"", status="500 Error")
        await desk.make(desk.fetched(), BRAVO.entry(desk.folder)).start()
        assert desk.answer() == "ISSUER_UNAVAILABLE"
        assert desk.answer(BRAVO) == ""

    @pytest.mark.parametrize("first", ["copy", "own"])
    async def test_who_publishes_anothers_key_takes_nothing_away(
        self, desk: Desk, abroad: KeyServer, first: str
    ) -> None:
        """Even where the copy of a new key is read before it is read from its owner."""
        bravo = IssuerEntry(BRAVO.issuer, BRAVO.id, jwks_uri=abroad.url, ca=abroad.ca)
        abroad.publish(OTHER_KEYS)
        await desk.make(desk.fetched(), bravo).start()
        published = [(desk.server, keys_of(ALFA, BRAVO)), (abroad, keys_of(BRAVO))]
        for server, keys in published if first == "copy" else reversed(published):
            server.publish(keys)
            await desk.refresh()
        assert desk.answer(BRAVO, BRAVO.token(**life(desk))) == ""
        assert desk.answer(ALFA, ALFA.token(**life(desk))) == ""

    async def test_a_file_gets_its_new_key_although_somebody_publishes_it(self, desk: Desk) -> None:
        entry = BRAVO.entry(desk.folder)
        assert entry.jwks is not None
        entry.jwks.write_bytes(OTHER_KEYS)
        desk.server.publish(keys_of(ALFA, BRAVO))
        await desk.make(desk.fetched(), entry).start()
        assert len(desk.issuers.current.by_url[ALFA.issuer].keys) == 2
        entry.jwks.write_bytes(keys_of(BRAVO))
        await desk.refresh()
        assert desk.answer(BRAVO, BRAVO.token(**life(desk))) == ""


class TestRestart:
    async def test_within_the_age_a_restart_goes_on_with_remembered_keys(self, desk: Desk) -> None:
        await desk.make(desk.fetched()).start()
        await until(lambda: any((desk.folder / "issuers").glob("*.json")))
        desk.server.publish(b"", status="500 Error")
        desk.clock.seconds += 600
        await desk.restart(desk.fetched())
        assert desk.answer(token=ALFA.token(**life(desk))) == ""
        # The age counts from the fetch, not from the start.
        desk.clock.seconds += OLDEST - 599
        assert desk.answer(token=ALFA.token(**life(desk))) == "ISSUER_UNAVAILABLE"

    @pytest.mark.parametrize("damage", ["junk", "cut", "future", "another place", "another agency", "a bad key"])
    async def test_a_damaged_memory_counts_for_nothing(self, desk: Desk, damage: str) -> None:
        await desk.make(desk.fetched()).start()
        await until(lambda: any((desk.folder / "issuers").glob("*.json")))
        (file,) = (desk.folder / "issuers").glob("*.json")
        assert file.stat().st_mode & 0o777 == 0o600
        told = json.loads(file.read_bytes())
        changed = {
            "future": {"fetched_us": told["fetched_us"] + 1_000_000},
            "another place": {"jwks_uri": "https://elsewhere.example/jwks"},
            "another agency": {"agency": str(BRAVO.id)},
            "a bad key": {"jwks": {"keys": [{"kty": "oct", "kid": "a", "k": "AA"}]}},
        }
        whole = json.dumps({**told, **changed.get(damage, {})}).encode()
        file.write_bytes({"junk": b"\xff\xfe", "cut": whole[:-20]}.get(damage, whole))
        desk.server.publish(b"", status="500 Error")
        await desk.restart(desk.fetched())
        assert desk.answer() == "ISSUER_UNAVAILABLE"

    async def test_a_removed_registration_is_not_remembered(self, desk: Desk) -> None:
        desk.registry = [RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks_uri=desk.server.url)]
        await desk.make().start()
        await until(lambda: any((desk.folder / "issuers").glob("*.json")))
        assert desk.answer() == ""
        desk.registry = []
        assert desk.feed is not None
        desk.feed.look_again()
        assert list((desk.folder / "issuers").glob("*.json")) == []


class TestProbe:
    async def test_usable_keys_are_named(self, desk: Desk) -> None:
        found = await desk.make().probe(RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks_uri=desk.server.url))
        assert (found.usable, found.problem, len(found.key_ids)) == (True, "", 1)
        assert found.fetched_us == desk.clock.now_us()
        assert desk.answer() == "ISSUER_NOT_ALLOWED"

    @pytest.mark.parametrize(
        ("registration", "problem"),
        [
            (RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks="{}"), "JWK Set"),
            (RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks_uri="https://u@a.example"), "user information"),
            (RegisteredIssuer(BRAVO.issuer, "bravo", jwks="{}"), "trust-domain/agency"),
            (RegisteredIssuer(BRAVO.issuer, str(BRAVO.id)), "either"),
            (RegisteredIssuer(BRAVO.issuer, str(BRAVO.id), jwks=keys_of(ALFA).decode()), "another issuer"),
            (RegisteredIssuer(ALFA.issuer, str(BRAVO.id), jwks=keys_of(BRAVO).decode()), "another agency"),
        ],
    )
    async def test_a_problem_is_told(self, desk: Desk, registration: RegisteredIssuer, problem: str) -> None:
        found = await desk.make(ALFA.entry(desk.folder)).probe(registration)
        assert not found.usable
        assert problem in found.problem
        assert found.key_ids == ()

    async def test_an_unreachable_server_is_told(self, desk: Desk) -> None:
        desk.server.publish(b"", status="503 Down")
        found = await desk.make().probe(RegisteredIssuer(ALFA.issuer, str(ALFA.id), jwks_uri=desk.server.url))
        assert not found.usable
        assert "503" in found.problem
