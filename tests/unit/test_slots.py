"""Slots: where each one's files lie, its log's key, and what a folder tells of slots that were used."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from broker.domain.slot import Slot, slots_present
from broker.keys import log_signer


def test_slot_0_has_the_names_of_a_broker_with_one_process(tmp_path: Path) -> None:
    slot = Slot(0)
    assert slot.origin("broker.example") == "broker.example"
    assert slot.ledger(tmp_path) == tmp_path / "ledger"
    assert slot.index(tmp_path) == tmp_path / "audit.db"
    assert slot.public_key(tmp_path) == tmp_path / "log.vkey"
    assert slot.signing_key(tmp_path) == tmp_path / "keys" / "log.key"


def test_each_further_slot_has_names_of_its_own(tmp_path: Path) -> None:
    first, second = Slot(1), Slot(12)
    assert (first.origin("b"), second.origin("b")) == ("b/1", "b/12")
    for where in (Slot.ledger, Slot.index, Slot.public_key, Slot.signing_key):
        assert len({where(slot, tmp_path) for slot in (Slot(0), first, second)}) == 3
    with pytest.raises(ValueError, match="from 0"):
        Slot(-1)


def test_the_slots_that_a_folder_has_are_those_with_a_log(tmp_path: Path) -> None:
    assert slots_present(tmp_path / "absent") == []
    for name in ("ledger-10", "ledger", "ledger-2", "ledger-02", "ledger-x", "ledgers", "keys"):
        (tmp_path / name).mkdir()
    (tmp_path / "ledger-3").write_text("a file is no log")
    assert slots_present(tmp_path) == [Slot(0), Slot(2), Slot(10)]


def test_each_slot_signs_under_its_own_name_and_key(tmp_path: Path) -> None:
    signers = [log_signer(tmp_path, "broker.example", Slot(number)) for number in (0, 1)]
    assert [signer.name for signer in signers] == ["broker.example", "broker.example/1"]
    assert len({signer.private_text().rpartition("+")[2] for signer in signers}) == 2
    for number, signer in enumerate(signers):
        assert Slot(number).public_key(tmp_path).read_text().strip() == str(signer.verifier)
        assert stat.S_IMODE(Slot(number).signing_key(tmp_path).stat().st_mode) == 0o600
    again = log_signer(tmp_path, "broker.example", Slot(1))
    assert again.private_text() == signers[1].private_text()


def test_a_slots_key_serves_no_other_slot(tmp_path: Path) -> None:
    log_signer(tmp_path, "broker.example", Slot(1))
    Slot(1).signing_key(tmp_path).rename(Slot(2).signing_key(tmp_path))
    with pytest.raises(ValueError, match=r"broker\.example/1"):
        log_signer(tmp_path, "broker.example", Slot(2))
