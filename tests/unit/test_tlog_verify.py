"""The offline verifier finds every change to a log's files (audit invariant 11)."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from entente_tlog import tiles
from entente_tlog.checkpoint import Checkpoint
from entente_tlog.merkle import Tree, leaf_hash
from entente_tlog.verify import VerificationReport, verify_directory
from tests.support.ledgers import SIGNER, VKEY, fill, leaf, open_ledger


def _make(path: Path, count: int) -> Path:
    async def run() -> None:
        ledger = open_ledger(path)
        await fill(ledger, count)
        await ledger.aclose()

    asyncio.run(run())
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(tmp_path_factory.mktemp("small"), 5)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(tmp_path_factory.mktemp("large"), 600)


@pytest.fixture
def copy(large: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(large, tmp_path / "copy"))


def verify(path: Path) -> VerificationReport:
    return verify_directory(path, VKEY)


def _bundle(path: Path, number: int, width: int = 256) -> tuple[Path, list[bytes]]:
    file = path / tiles.tile_path(tiles.ENTRIES, number, width)
    return file, tiles.unpack_bundle(file.read_bytes())[0]


def test_an_untouched_log_is_accepted(large: Path, small: Path) -> None:
    assert (verify(large).problems, verify(large).entries_verified) == ([], 600)
    assert verify(large).types == {"denial": 600}
    assert verify(small).ok


@pytest.mark.parametrize("name", ["tile/entries/000.p/5", "tile/0/000.p/5", "checkpoint"])
def test_every_flipped_bit_is_found(small: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copytree(small, tmp_path / "copy"))
    file = path / name
    raw = file.read_bytes()
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        report = verify(path)
        assert not report.ok, (name, bit)
        if name.startswith("tile/entries") and bit % 64 == 63:
            size = 2 + len(leaf(0))
            assert report.first_damaged == bit // 8 // size


@pytest.mark.parametrize("index", [0, 255, 256, 300, 511, 512, 599])
def test_the_first_damaged_entry_is_named(copy: Path, index: int) -> None:
    number, place = divmod(index, 256)
    width = min(256, 600 - number * 256)
    file, entries = _bundle(copy, number, width)
    entries[place] = entries[place].replace(b"denial", b"denied")
    file.write_bytes(tiles.pack_bundle(entries))
    report = verify(copy)
    assert (report.ok, report.first_damaged) == (False, index)


def test_deletion_swap_and_truncation_are_found(copy: Path) -> None:
    file, entries = _bundle(copy, 1)
    for changed in (
        entries[:44] + entries[45:],
        [*entries[:44], entries[45], entries[44], *entries[46:]],
        entries[:44],
    ):
        file.write_bytes(tiles.pack_bundle(changed))
        report = verify(copy)
        assert (report.ok, report.first_damaged) == (False, 300)
    file.write_bytes(tiles.pack_bundle(entries)[:-3])
    assert verify(copy).first_damaged == 511
    file.unlink()
    assert verify(copy).first_damaged == 256
    file.write_bytes(tiles.pack_bundle(entries))
    assert verify(copy).ok


def test_a_damaged_tile_is_not_blamed_on_an_entry(copy: Path) -> None:
    for name in ("tile/0/001", "tile/1/000.p/2", "tile/0/002.p/88"):
        file = copy / name
        raw = bytearray(file.read_bytes())
        raw[40] ^= 1
        file.write_bytes(raw)
        report = verify(copy)
        assert (report.ok, report.first_damaged) == (False, None)
        raw[40] ^= 1
        file.write_bytes(raw)
    (copy / "tile/1/000.p/2").unlink()
    assert any("tile/1/000.p/2" in problem for problem in verify(copy).problems)


def test_a_log_rewritten_without_the_key_is_found(copy: Path) -> None:
    file, entries = _bundle(copy, 2, 88)
    entries[3] = leaf(9999)
    file.write_bytes(tiles.pack_bundle(entries))
    tile = copy / "tile/0/002.p/88"
    tile.write_bytes(b"".join(map(leaf_hash, entries)))
    assert not verify(copy).ok


def test_another_key_is_refused(large: Path) -> None:
    other = VKEY.replace("test", "tess")
    assert not verify_directory(large, other).ok


def _write(path: Path, leaves: list[bytes]) -> None:
    tree = Tree()
    for one in leaves:
        tree.append(leaf_hash(one))
    writer = tiles.Writer()
    writer.write(path / tiles.tile_path(tiles.ENTRIES, 0, len(leaves)), tiles.pack_bundle(leaves))
    writer.write(path / tiles.tile_path(0, 0, len(leaves)), tree.row(0, 0, len(leaves)))
    head = Checkpoint(SIGNER.name, len(leaves), tree.root())
    writer.write(path / "checkpoint", SIGNER.sign(head.text()))
    writer.settle()


@pytest.mark.parametrize(
    "bad", [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b"[]", b"\xff", b'{"a":"\\u0041"}', b'{"a":1.0e1}']
)
def test_signed_but_not_canonical_is_a_problem(tmp_path: Path, bad: bytes) -> None:
    _write(tmp_path, [leaf(0), bad])
    report = verify(tmp_path)
    assert (report.ok, report.entries_verified, report.first_damaged) == (False, 2, None)


def test_releases_without_an_outcome_are_indeterminate(tmp_path: Path) -> None:
    """Audit invariant 10."""

    def one(exchange: str, phase: str, outcome: str = "allowed", **more: object) -> bytes:
        content = {"exchange_id": exchange, "outcome": outcome, "phase": phase, "type": "disclosure", **more}
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    _write(
        tmp_path,
        [
            one("a", "release"),
            one("b", "release"),
            one("c", "intent", "indeterminate"),
            one("d", "intent", "indeterminate"),
            one("d", "release", "denied"),
            one("own", "outcome", outcomes=[["a", "allowed", "OK", 1, 1]]),
        ],
    )
    report = verify(tmp_path)
    assert (report.ok, report.indeterminate) == (True, ["b", "c"])
