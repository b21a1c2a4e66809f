"""What TLS and the certificate profile are fed from files: taken again when a file changes, without a restart.

MUSTs:
1. A change is read whole and checked whole before it counts: the key is the certificate's and the chain holds, each
   root is an authority, each list reads and bears no lower number, and no root that had a signed list loses it.
2. What fails, however it fails, keeps what was in force and keeps nothing else from being taken; it is logged once for
   each change of the files. A list that is kept still ages.
3. Roots and lists count for calls before they count for handshakes, so that none is let in that calls do not judge.
4. Whoever follows (the open streams) is told in the same turn in which roots or lists change.
5. Files are looked at, read and checked off the event loop; a change is taken when two looks in a row see the same.

Does not: fetch anything. One per worker; each looks for itself, and is in step within about a second of the others.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from broker.domain.clock import Clock
from broker.identify.list_numbers import ListNumbers
from broker.identify.revocation_list import LARGEST_FILE, ListError, RevocationList, RevocationLists, read_lists
from broker.identify.roots import Anchor, TrustRoots, anchors_from_pem
from broker.identify.server_certificate import Offer, ServerPair, read_pair

LOOK_SECONDS = 0.25
WARN_SECONDS = 24 * 3600
SAVE_AGAIN_SECONDS = 60.0

_logger = structlog.get_logger("entente.tls")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where everything lies. Each of `lists` holds the revocation list of one authority, or of several in PEM."""

    certificate: Path
    key: Path
    roots: Path
    lists: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, self.roots, *self.lists)


@dataclass(frozen=True, slots=True)
class _Lists:
    """A file's lists, and its content's digest."""

    digest: bytes
    lists: tuple[RevocationList, ...]

    def number(self, root: x509.Certificate) -> int | None:
        """The highest of those that this root signed."""
        return max((one.number for one in self.lists if one.is_signed_by(root)), default=None)

    def require_no_step_back(self, held: _Lists) -> None:
        """Raises ListError where a key's list in the former file has a higher number. Keys are taken as lists name
        them: an intermediate may not be known before it calls."""
        found, former = _highest(self.lists), _highest(held.lists)
        for key, number in found.items():
            if number < former.get(key, 0):
                raise ListError(f"it has a list with number {number}, but the former one has number {former[key]}")


@dataclass(slots=True)
class _Taken:
    """What was read, and what of it could not be used: (file, why)."""

    pair: ServerPair
    roots_pem: bytes
    anchors: Sequence[Anchor]
    lists: dict[Path, _Lists]
    refused: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def all_lists(self) -> list[RevocationList]:
        return [one for file in self.lists.values() for one in file.lists]


class TlsMaterial:
    """The files' content in force: `roots` and `lists` for the profile, `offer` for handshakes.

    Args:
        files: where they lie.
        trust_domains: those that the roots may speak for.
        oldest_hours: how old a revocation list may be.
        clock: the broker's clock.
        numbers: the lists' numbers that counted before. A former list does not keep a broker from starting: but nobody
            below its authority is served.

    Raises OSError or ValueError at once where anything is unfit: a broker does not start on half of it.
    """

    def __init__(
        self,
        files: TlsFiles,
        trust_domains: Iterable[str],
        *,
        oldest_hours: int,
        clock: Clock,
        numbers: ListNumbers,
    ) -> None:
        if not files.lists:
            raise ValueError("at least one revocation list is needed: without one nobody knows what is revoked")
        self._files = files
        self._trust_domains = tuple(trust_domains)
        self._clock = clock
        self._followers: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._told: set[tuple[RevocationList, str]] = set()
        self._fault = ""
        self._seen = self._accepted = _stamps(files.all)
        self._taken = _first(files, self._trust_domains, self._seconds())
        self.roots = TrustRoots(self._taken.anchors)
        self.lists = RevocationLists(self._taken.all_lists, oldest_hours=oldest_hours, numbers=numbers)
        self.offer = Offer(self._taken.pair, self._taken.roots_pem)
        self._tell_bare_roots()

    def follow(self, tell: Callable[[], None]) -> None:
        """Have this called, on the event loop, after each change of roots or lists."""
        self._followers.append(tell)

    def start(self) -> None:
        """Look from now on."""
        self._tell_age()
        self._tasks = [
            asyncio.create_task(self._run(), name="tls-material"),
            asyncio.create_task(self._remember(), name="list-numbers"),
        ]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._save(self.lists.numbers.unsaved)

    async def look(self) -> bool:
        """One look; whether it took a change."""
        stamps = await asyncio.to_thread(_stamps, self._files.all)
        still, self._seen = stamps == self._seen, stamps
        self._tell_age()
        if still and stamps != self._accepted:
            fresh = await asyncio.to_thread(self._read)
            self._accepted = stamps
            self._swap(fresh)
            return True
        return False

    async def _remember(self) -> None:
        """Save the numbers that counted for the first time, beside the looks: these do not wait for a slow disk."""
        while True:
            saved = await asyncio.to_thread(self._save, self.lists.numbers.unsaved)
            await asyncio.sleep(LOOK_SECONDS if saved else SAVE_AGAIN_SECONDS)

    def _save(self, unsaved: dict[str, int]) -> bool:
        try:
            self.lists.numbers.save(unsaved)
        except OSError as error:
            _logger.error("list_numbers_not_saved", error=str(error), effect="a restart may take a former list")
            return False
        return True

    def _read(self) -> _Taken:
        """The files as they are now, each part checked; where one fails, what is in force stays. Runs in a thread."""
        former, files = self._taken, self._files
        fresh = _Taken(former.pair, former.roots_pem, former.anchors, {})
        # What the parser says of odd files shares no base.
        try:
            fresh.pair = _read_pair(files, self._seconds())
        except Exception as error:
            fresh.refused.append((files.certificate, str(error)))
        try:
            fresh.roots_pem, fresh.anchors = _read_roots(files.roots, self._trust_domains)
        except Exception as error:
            fresh.refused.append((files.roots, str(error)))
        for path in files.lists:
            held = former.lists[path]
            try:
                fresh.lists[path] = self._read_lists(path, fresh.anchors, held)
            except Exception as error:
                fresh.lists[path] = held
                fresh.refused.append((path, str(error)))
        return fresh

    def _read_lists(self, path: Path, anchors: Sequence[Anchor], held: _Lists) -> _Lists:
        found = _lists(path, held)
        found.require_no_step_back(held)
        for root in (anchor.certificate for anchor in anchors):
            # Asked for each root, also those that are new: calls find the answer remembered.
            number, former = found.number(root), held.number(root)
            if former is not None and (number is None or number < former):
                name = root.subject.rfc4514_string()
                raise ListError(f"it has no list that {name} signed, or a former one; number {former} is in force")
        return found

    def _swap(self, fresh: _Taken) -> None:
        former, self._taken = self._taken, fresh
        for path, why in fresh.refused:
            _logger.error("tls_file_refused", file=str(path), reason=why, kept="what was in force before")
        roots_changed = fresh.roots_pem != former.roots_pem
        lists_changed = any(fresh.lists[path] is not held for path, held in former.lists.items())
        if roots_changed:
            self.roots.replace(fresh.anchors)
        if lists_changed:
            self.lists.replace(fresh.all_lists)
            self._told = {told for told in self._told if told[0] in fresh.all_lists}
        if roots_changed or fresh.pair != former.pair:
            self.offer = Offer(fresh.pair, fresh.roots_pem)
        if roots_changed or lists_changed or fresh.pair != former.pair:
            _logger.info(
                "tls_files_taken",
                server_not_after=fresh.pair.not_after,
                roots=[anchor.certificate.subject.rfc4514_string() for anchor in fresh.anchors],
                list_numbers=[one.number for one in fresh.all_lists],
            )
        if roots_changed or lists_changed:
            self._tell_bare_roots()
            for tell in self._followers:
                tell()

    def _tell_age(self) -> None:
        now = self._seconds()
        for path, one in ((path, one) for path, file in self._taken.lists.items() for one in file.lists):
            until = one.until(self.lists.oldest_seconds)
            state = "over" if until < now else "ending" if until < now + WARN_SECONDS else ""
            if state and (one, state) not in self._told:
                self._told.add((one, state))
                say = _logger.error if state == "over" else _logger.warning
                say(f"revocation_list_{state}", file=str(path), until=until, do="have its authority sign it again")

    def _tell_bare_roots(self) -> None:
        for root in self.roots.current.certificates:
            # From now on the number of the list that is found counts.
            if self.lists.of(root) is None:
                _logger.error(
                    "root_without_revocation_list",
                    root=root.subject.rfc4514_string(),
                    least_number=self.lists.numbers.least(root),
                    effect="everybody below it is refused",
                )

    def _seconds(self) -> int:
        return self._clock.now_us() // 1_000_000

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
                self._fault = ""
            except Exception as defect:
                # What is in force stays in force, and ages. The next look tries again; it is said once.
                fault = f"{type(defect).__name__}: {defect}"
                if fault != self._fault:
                    _logger.error("tls_look_failed", error=fault)
                self._fault = fault


def _first(files: TlsFiles, trust_domains: Sequence[str], now: int) -> _Taken:
    pair = _read_pair(files, now)
    roots_pem, anchors = _read_roots(files.roots, trust_domains)
    taken = _Taken(pair, roots_pem, anchors, {})
    for path in files.lists:
        try:
            taken.lists[path] = _lists(path, None)
        except ListError as error:
            raise ListError(f"{path}: {error}") from error
    return taken


def _read_pair(files: TlsFiles, now: int) -> ServerPair:
    return read_pair(_content(files.certificate), _content(files.key), now)


def _read_roots(path: Path, trust_domains: Sequence[str]) -> tuple[bytes, Sequence[Anchor]]:
    anchors = anchors_from_pem(_content(path), trust_domains)
    # Refuses what is unfit; the set itself is made on the event loop.
    TrustRoots(anchors)
    # Written anew: TLS gets the roots that the profile has, whatever else lies in the file.
    return b"".join(one.certificate.public_bytes(serialization.Encoding.PEM) for one in anchors), anchors


def _lists(path: Path, held: _Lists | None) -> _Lists:
    content = _content(path)
    digest = hashlib.sha256(content).digest()
    return held if held is not None and held.digest == digest else _Lists(digest, read_lists(content))


def _highest(lists: Iterable[RevocationList]) -> dict[tuple[bytes, bytes], int]:
    """For each name and key the highest number; a list that names no key may be any key's of that name."""
    found: dict[tuple[bytes, bytes], int] = {}
    for one in lists:
        if one.key:
            found[one.issuer, one.key] = max(one.number, found.get((one.issuer, one.key), 0))
    return found


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        # One byte more than any file may have: what is larger is refused as such, and not read on.
        return file.read(LARGEST_FILE + 1)


def _stamps(paths: Iterable[Path]) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
