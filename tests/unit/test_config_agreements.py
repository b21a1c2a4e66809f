"""The operator's directory names signed agreements; anything else keeps the broker from starting, and it says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.agreements import read_directory
from broker.config import Config, ConfigError, load
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.domain.clock import SystemClock
from certs import network
from entente_agreement import SignedDocument
from tests.support.agreements import sample, signed

BUNDLE = PolicyBundle.load(policy_folder())


@pytest.fixture
def place(tmp_path: Path) -> Config:
    return load(network.create(tmp_path / "network", "127.0.0.1:0").broker_config)


def put(config: Config, name: str, text: str) -> None:
    (config.broker.directory.parent / "agreements" / name).write_text(text, encoding="utf-8")


def refused(config: Config) -> str:
    with pytest.raises(ConfigError) as caught:
        read_directory(config, BUNDLE, SystemClock())
    return str(caught.value)


def test_the_development_network_has_signed_its_own(place: Config) -> None:
    found = read_directory(place, BUNDLE, SystemClock())
    assert sorted(one.agreement_id for one in found.agreements) == sorted(
        one.agreement_id for one in network.AGREEMENTS
    )
    assert set(found.documents) == {one.agreement_id for one in network.AGREEMENTS}


def test_an_unsigned_table_counts_no_more(place: Config) -> None:
    path = place.broker.directory
    text = path.read_text(encoding="utf-8").replace('agreements = ["agreements/*.json"]', "")
    table = '[[agreements]]\nid = "old"\nparties = ["a/b", "c/d"]\npurposes = ["FRAUD"]\nceiling = "SECRET"\n'
    path.write_text(text + table, encoding="utf-8")
    told = refused(place)
    assert "entente agreement draft" in told
    assert 'agreements = ["agreements/*.json"]' in told


def test_what_not_all_have_signed_is_named(place: Config) -> None:
    folder = place.broker.directory.parent
    whole = SignedDocument.parse(signed(folder, sample("half")))
    put(place, "half.json", SignedDocument(whole.document, whole.payload, whole.signatures[:1]).text())
    told = refused(place)
    assert "half.json" in told
    assert "has not signed it" in told
    put(place, "half.json", SignedDocument.unsigned(whole.document).text())
    assert "nobody has signed it" in refused(place)
    put(place, "half.json", "agreement_id: half")
    assert "half.json" in refused(place)


def test_an_id_is_in_one_file(place: Config) -> None:
    folder = place.broker.directory.parent / "agreements"
    put(place, "copy.json", (folder / "north-local.json").read_text(encoding="utf-8"))
    assert "north-local is in another file too" in refused(place)


def test_a_pattern_names_files(place: Config) -> None:
    path = place.broker.directory
    path.write_text(path.read_text(encoding="utf-8").replace("agreements/*.json", "agreements/*.jws"))
    assert "names no file" in refused(place)


def test_another_authoritys_signatures_do_not_count(place: Config, tmp_path: Path) -> None:
    other = network.create(tmp_path / "other", "127.0.0.1:0")
    put(place, "foreign.json", signed(other.directory, sample("foreign")))
    told = refused(place)
    assert "foreign.json" in told
    assert "root" in told
