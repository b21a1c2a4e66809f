"""Notes, checkpoints, tile paths and proofs against published examples, and what their parsers refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entente_tlog import proof, tiles
from entente_tlog.checkpoint import Checkpoint, open_checkpoint, parse_text
from entente_tlog.errors import FormatError, TlogError, VerificationError
from entente_tlog.merkle import Tree, leaf_hash
from entente_tlog.note import Signer, Verifier, open_note, parse_note
from entente_tlog.verify import verify_directory
from tests.support.shared import shared_data

# The example of golang.org/x/mod/sumdb/note.
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = TEXT + (
    "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_gos_example_signs_and_verifies_to_the_byte() -> None:
    signer = Signer.parse(SKEY)
    assert (signer.private_text(), str(signer.verifier)) == (SKEY, VKEY)
    assert signer.sign(TEXT.encode()).decode() == NOTE
    assert open_note(NOTE.encode(), [Verifier.parse(VKEY)]) == TEXT.encode()


def test_a_note_of_unknown_keys_is_refused() -> None:
    with pytest.raises(VerificationError):
        open_note(NOTE.encode(), [Signer.generate("PeterNeumann").verifier])


def test_signatures_of_unknown_keys_are_ignored_beside_a_known_one() -> None:
    other = Signer.generate("witness.example").sign(TEXT.encode()).decode().partition("\n\n")[2]
    assert open_note((NOTE + other).encode(), [Verifier.parse(VKEY)]) == TEXT.encode()


@given(st.integers(0, len(TEXT.encode()) * 8 - 1))
def test_any_flipped_bit_of_the_text_is_refused(bit: int) -> None:
    raw = bytearray(NOTE.encode())
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TlogError):
        open_note(bytes(raw), [Verifier.parse(VKEY)])


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "text\n",
        "text\n\n",
        "\n\n— a AAAAAAA=\n",
        "text\n\n— a AAAAAAA=",
        "text\n\n— a AAAA\n",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n— a AAAAAAB=\n",
        "te\rxt\n\n— a AAAAAAA=\n",
        "text\n\n— a AAAAAAA=\nmore\n",
    ],
)
def test_malformed_notes_are_refused(bad: str) -> None:
    with pytest.raises(FormatError):
        parse_note(bad.encode())


@pytest.mark.parametrize("bad", [VKEY[:-1], VKEY.replace("c74", "c75"), "a+b", "", VKEY.replace("Peter", "Paul")])
def test_malformed_keys_are_refused(bad: str) -> None:
    with pytest.raises(FormatError):
        Verifier.parse(bad)


ROOT64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@pytest.mark.parametrize(
    "bad",
    [
        f"origin\n1\n{ROOT64}",
        f"origin\n01\n{ROOT64}\n",
        f"origin\n+1\n{ROOT64}\n",
        f"origin\n-1\n{ROOT64}\n",
        f"origin\n١\n{ROOT64}\n",
        f"origin\n9223372036854775808\n{ROOT64}\n",
        f"origin\n\n{ROOT64}\n",
        f"\n1\n{ROOT64}\n",
        f"origin\n1\n{ROOT64[:-4]}\n",
        f"origin\n1\n{ROOT64}\n\n",
        "origin\n1\n",
    ],
)
def test_malformed_checkpoints_are_refused(bad: str) -> None:
    with pytest.raises(FormatError):
        parse_text(bad.encode())


def test_a_checkpoint_signed_by_another_logs_key_is_refused() -> None:
    ours, theirs = Signer.generate("ours.example"), Signer.generate("theirs.example")
    note = theirs.sign(Checkpoint("ours.example", 0, leaf_hash(b"")).text())
    with pytest.raises(VerificationError):
        open_checkpoint(note, [ours.verifier, theirs.verifier])


def test_all_17_checkpoints_of_the_sample_log_verify() -> None:
    folder = shared_data("tlog-sample-log")
    verifier = Verifier.parse((folder / "PUBLIC_KEY.txt").read_text())
    notes = sorted((folder / "log").glob("checkpoint*"))
    assert len(notes) == 17
    tree = Tree()
    entries, whole = tiles.unpack_bundle((folder / "log/tile/entries/000.p/15").read_bytes())
    assert whole
    for entry in entries:
        tree.append(leaf_hash(entry))
    for note in notes:
        head = open_checkpoint(note.read_bytes(), [verifier])
        assert head.root == tree.root(head.size)


def test_the_sample_log_is_verified_as_a_directory() -> None:
    folder = shared_data("tlog-sample-log")
    report = verify_directory(folder / "log", (folder / "PUBLIC_KEY.txt").read_text(), require_json=False)
    assert (report.problems, report.size, report.entries_verified) == ([], 15, 15)


def test_every_tile_of_the_sample_log_is_what_its_entries_give() -> None:
    log = shared_data("tlog-sample-log") / "log"
    for width in range(1, 16):
        entries, _ = tiles.unpack_bundle((log / tiles.tile_path(tiles.ENTRIES, 0, width)).read_bytes())
        assert tiles.pack_bundle(entries) == (log / tiles.tile_path(tiles.ENTRIES, 0, width)).read_bytes()
        assert b"".join(map(leaf_hash, entries)) == (log / tiles.tile_path(0, 0, width)).read_bytes()


@pytest.mark.parametrize(("number", "path"), [(0, "000"), (67, "067"), (1000, "x001/000"), (1234067, "x001/x234/067")])
def test_tile_numbers_are_written_as_the_specification_does(number: int, path: str) -> None:
    assert tiles.number_path(number) == path
    assert tiles.tile_path(3, number, 5) == f"tile/3/{path}.p/5"


def test_a_proof_survives_encoding_and_refuses_change() -> None:
    signer = Signer.generate("log.example")
    tree = Tree()
    for number in range(9):
        tree.append(leaf_hash(b"%d" % number))
    note = signer.sign(Checkpoint("log.example", 9, tree.root()).text())
    raw = proof.encode(4, tree.inclusion_proof(4, 9), note)
    assert proof.verify(proof.parse(raw), b"4", [signer.verifier]).size == 9
    with pytest.raises(VerificationError):
        proof.verify(proof.parse(raw), b"5", [signer.verifier])
    with_extra = raw.replace(b"@v1\n", b"@v1\nextra AAAA\n")
    assert proof.verify(proof.parse(with_extra), b"4", [signer.verifier]).size == 9
    for at in range(len(raw)):
        for bit in (1, 32):
            flipped = bytearray(raw)
            flipped[at] ^= bit
            with pytest.raises(TlogError):
                proof.verify(proof.parse(bytes(flipped)), b"4", [signer.verifier])
