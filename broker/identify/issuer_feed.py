"""Keeps the issuers in force as the configuration, the registry, the files and the fetched keys say.

Three sources, one set (`issuers`): files of the operator's configuration, https URLs of it, and issuers that were
registered by an approved proposal. MUSTs:

1. A bad file of the configuration refuses the start; later, what cannot be used leaves the keys in force as they are,
   and concerns its own issuer alone.
2. Keys are fetched by the clock, every `refresh_seconds` give or take a tenth, and never because of a token.
3. Keys from a file or a URL count until `oldest_seconds` after they were last read well, over a restart too; then
   tokens of that issuer are refused until its keys are read again.
4. A key that is no longer published ends the tokens that it signed, at the next reading.
5. A registered issuer never takes the place of one of the configuration.
6. Each source is read as strictly as any other, and its faults are logged once, not every second.
Every worker keeps its own; they share the folder of remembered keys.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from broker.domain.clock import Clock
from broker.domain.issuer import IssuerProbe, RegisteredIssuer
from broker.identify import probing
from broker.identify.fetching import FETCH_SECONDS, Fetcher, FetchError, require_fetchable
from broker.identify.issuers import Issuer, IssuerEntry, IssuerFileError, Issuers, load, require_issuer_url
from broker.identify.jwk import IssuerKey
from broker.identify.key_cache import KeyCache
from broker.identify.key_set import read_key_set
from broker.identify.lease import Lease

LOOK_SECONDS = 1.0
JITTER = 0.1
# Names that are resolved at once, for the keys in force and for live tests.
FETCHES, PROBES = 8, 2

_logger = structlog.get_logger("entente.issuers")


@dataclass(frozen=True, slots=True)
class Refreshing:
    """How often keys are fetched, and for how long they count; `registered_ca`: the roots of registered issuers'
    servers, None: the system's."""

    refresh_seconds: float = 60
    oldest_seconds: float = 3600
    registered_ca: Path | None = None


@dataclass(slots=True)
class _Source:
    """One issuer's, with what is known of its last reading."""

    entry: IssuerEntry
    lease: Lease | None
    registered: bool = False
    seen: tuple[int, int, int] | None = None
    due_us: int = 0
    problem: str = ""
    fetch: asyncio.Task[None] | None = None


class IssuerFeed:
    """See the module. Raises IssuerFileError when made from a configuration that cannot be used.

    Args:
        issuers: the set to keep.
        configured: the operator's issuers, with a file or a URL each.
        registered: asks the registry for its issuers. Raises UnavailableError.
        cache: where fetched keys are remembered.
    """

    def __init__(
        self,
        issuers: Issuers,
        configured: Sequence[IssuerEntry],
        registered: Callable[[], Sequence[RegisteredIssuer]],
        cache: KeyCache,
        clock: Clock,
        refreshing: Refreshing | None = None,
    ) -> None:
        self._issuers = issuers
        self._registered = registered
        self._cache = cache
        self._clock = clock
        self._refreshing = refreshing or Refreshing()
        self._sources: dict[str, _Source] = {}
        self._refused: dict[RegisteredIssuer, str] = {}
        self._task: asyncio.Task[None] | None = None
        # Two, so that nobody delays the keys in force by testing slow servers.
        self._fetcher, self._prober = Fetcher(FETCHES), Fetcher(PROBES)
        for entry in configured:
            self._configure(entry)
        self.look_again()

    async def start(self) -> None:
        """Fetch, wait for those whose keys nobody knows yet, at most as long as a fetch takes, and go on fetching."""
        self._look()
        unknown = [source.fetch for source in self._sources.values() if source.fetch and not self._keys(source)]
        if unknown:
            await asyncio.wait(unknown, timeout=FETCH_SECONDS + 1)
        self._task = asyncio.create_task(self._run(), name="issuers")

    async def aclose(self) -> None:
        tasks = [task for task in (self._task, *(source.fetch for source in self._sources.values())) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fetcher.close()
        self._prober.close()

    async def probe(self, registration: RegisteredIssuer) -> IssuerProbe:
        """What a live test of a registration finds; nothing changes."""
        ca = self._refreshing.registered_ca
        return await probing.probe(registration, self._issuers, self._prober, ca, self._clock)

    def look_again(self) -> None:
        """The registry may have changed. Raises UnavailableError."""
        wanted = self._registered()
        names = {one.url for one in wanted}
        for source in [source for source in self._sources.values() if source.registered]:
            if source.entry.url not in names:
                self._drop(source)
        for one in wanted:
            self._register(one)
        self._refused = {one: problem for one, problem in self._refused.items() if one in wanted}

    # Sources

    def _configure(self, entry: IssuerEntry) -> None:
        if entry.url in self._sources:
            raise IssuerFileError(f"issuer {entry.url} is listed twice")
        source = _Source(entry, self._lease())
        try:
            if entry.jwks is not None:
                self._read_file(source)
            else:
                require_fetchable(entry.jwks_uri)
                self._begin(source)
        except IssuerFileError:
            raise
        except ValueError as error:
            raise IssuerFileError(f"issuer {entry.url}: {error}") from error
        self._sources[entry.url] = source

    def _register(self, one: RegisteredIssuer) -> None:
        known = self._sources.get(one.url)
        try:
            entry = probing.entry_of(one, self._refreshing.registered_ca)
            if known is not None and not known.registered:
                raise ValueError("the operator's configuration has this issuer already")
            if known is not None and known.entry == entry:
                return
            if known is not None:
                # Other keys, or another agency: nothing of before counts any longer.
                self._drop(known)
            fetched = bool(entry.jwks_uri)
            source = _Source(entry, self._lease() if fetched else None, registered=True)
            if fetched:
                self._begin(source)
            else:
                self._issuers.put(Issuer(entry.url, entry.agency, read_key_set(entry.document.encode())))
        except ValueError as error:
            if self._refused.get(one) != str(error):
                _logger.error("issuer_refused", issuer=one.url, agency=one.agency, problem=str(error))
            self._refused[one] = str(error)
            return
        self._refused.pop(one, None)
        self._sources[one.url] = source

    def _begin(self, source: _Source) -> None:
        """An issuer whose keys are fetched: with those remembered, or with none yet. Raises ValueError."""
        entry, lease = source.entry, source.lease
        assert lease is not None
        require_issuer_url(entry.url)
        self._issuers.put(Issuer(entry.url, entry.agency, {}, lease, published=True))
        remembered = self._cache.load(entry)
        if remembered is None:
            return
        try:
            self._issuers.put(Issuer(entry.url, entry.agency, remembered.keys, lease, published=True))
            lease.confirm(remembered.fetched_us)
        except ValueError as error:
            self._complain(source, str(error))

    def _drop(self, source: _Source) -> None:
        if source.fetch is not None:
            source.fetch.cancel()
        self._sources.pop(source.entry.url, None)
        self._issuers.drop(source.entry.url)
        try:
            self._cache.forget(source.entry.url)
        except OSError as error:
            _logger.error("issuer_cache", issuer=source.entry.url, problem=type(error).__name__)

    # Reading

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._look()
                if self._refused:
                    self.look_again()
            except Exception as defect:
                # One issuer's surprise, or the store's, must not end the care for the others.
                _logger.error("issuers_unread", error=type(defect).__name__)

    def _look(self) -> None:
        now = self._clock.monotonic_us()
        for source in self._sources.values():
            if source.entry.jwks is not None:
                self._look_at_file(source)
            elif source.entry.jwks_uri and now >= source.due_us and source.fetch is None:
                source.fetch = asyncio.create_task(self._fetch(source), name=f"issuer {source.entry.url}")

    def _look_at_file(self, source: _Source) -> None:
        try:
            self._read_file(source)
        except ValueError as error:
            self._complain(source, str(error))
        else:
            self._praise(source)

    def _read_file(self, source: _Source) -> None:
        """Read a file again where it is another than the one read last. Raises IssuerFileError."""
        path, lease = source.entry.jwks, source.lease
        assert path is not None
        assert lease is not None
        try:
            found = path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != source.seen:
                read = load(source.entry)
                self._issuers.put(Issuer(read.url, read.agency, read.keys, lease))
                source.seen = seen
        except IssuerFileError:
            raise
        except (OSError, ValueError) as error:
            raise IssuerFileError(f"{path}: {error}") from error
        lease.confirm()

    async def _fetch(self, source: _Source) -> None:
        entry, lease = source.entry, source.lease
        assert lease is not None
        # The age counts from before the question, so that it is never told too young.
        asked_us = self._clock.now_us()
        try:
            content = await self._fetcher.fetch(entry.jwks_uri, entry.ca)
            if self._sources.get(entry.url) is not source:
                return
            self._issuers.put(Issuer(entry.url, entry.agency, read_key_set(content), lease, published=True))
            lease.confirm(asked_us)
            self._praise(source)
            await asyncio.to_thread(self._cache.save, entry, content, asked_us)
        except (FetchError, ValueError) as error:
            self._complain(source, str(error))
        except OSError as error:
            _logger.error("issuer_cache", issuer=entry.url, problem=type(error).__name__)
        except Exception as defect:
            self._complain(source, type(defect).__name__)
        finally:
            wait = self._refreshing.refresh_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            source.due_us = self._clock.monotonic_us() + round(wait * 1_000_000)
            source.fetch = None

    def _keys(self, source: _Source) -> Iterable[IssuerKey]:
        issuer = self._issuers.current.by_url.get(source.entry.url)
        return () if issuer is None else issuer.keys.values()

    def _lease(self) -> Lease:
        return Lease(self._clock, self._refreshing.oldest_seconds)

    def _complain(self, source: _Source, problem: str) -> None:
        if source.problem != problem:
            _logger.error("issuer_unread", issuer=source.entry.url, problem=problem)
        source.problem = problem

    def _praise(self, source: _Source) -> None:
        if source.problem:
            _logger.info("issuer_read", issuer=source.entry.url)
        source.problem = ""
