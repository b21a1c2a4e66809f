"""The operator's directory names signed agreements; anything else keeps the broker from starting, and it says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.agreements import read_directory
from broker.app import Broker
from broker.config import Config, ConfigError, load
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.domain.clock import SystemClock
from broker.domain.policy import ADOPTED
from broker.store import policies, registry
from broker.store.store import Store
from broker.store.write import WriteTransaction
from broker.workers.prepare import prepare
from certs import network
from entente_agreement import SignedDocument
from tests.support.agreements import sample, signed
from tests.support.policies import edited, key_of

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


async def test_a_directory_of_another_form_is_refused_before_anything_is_changed(place: Config) -> None:
    """Its operator can still go back to the version before: the store was not brought to this one's schema."""
    path = place.broker.directory
    path.write_text('[[agreements]]\nid = "old"\n' + path.read_text(encoding="utf-8").partition("\n")[2])
    with pytest.raises(ConfigError, match="entente agreement draft"):
        await Broker.start(place)
    assert not (place.broker.data / "store.db").exists()


async def test_it_is_read_in_the_words_of_the_policy_that_stands(place: Config) -> None:
    """Two registrars adopted a register of legal bases that the configured policy does not have."""

    def edit(_modules: dict[str, str], data: dict[str, Any]) -> None:
        data["legal_bases"]["NEW_ACT"] = {"text": "An act of parliament.", "country": "GB"}

    folder, adopted = place.broker.directory.parent, edited(edit)
    put(place, "new.json", signed(folder, sample("new", legal_bases=("NEW_ACT",))))
    with pytest.raises(ConfigError, match="NEW_ACT is not known"):
        prepare(place, 1, SystemClock())
    store = Store.open(place.broker.data / "store.db", SystemClock())

    def adopt(tx: WriteTransaction) -> None:
        seq = registry.add_change(tx.driver, "", "POLICY_ADOPTED", adopted.revision, 1)
        archive = adopted.to_archive(key_of(folder))
        policies.put_in_force(
            tx.driver, seq, revision=adopted.revision, archive=archive, origin=ADOPTED, note="", now_us=1
        )

    await store.write(adopt)
    store.close()
    prepare(place, 1, SystemClock())
    passed_over = replace(place, policy=replace(place.policy, passed_over=adopted.revision))
    with pytest.raises(ConfigError, match="NEW_ACT is not known"):
        prepare(passed_over, 1, SystemClock())
