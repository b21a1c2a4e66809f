"""docs/agreements.md works as it stands: each of its commands is run, and what it promises is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs import network
from tests.flows.test_enrolment_guide import Machine, blocks, put_in
from tests.support.live import ROOT, LiveBroker, free_port

GUIDE = blocks("agreements.md")
SUBMIT = (
    'entente report submit --title "Vessel at the old harbour" --line "Seen loading" --grade 2B '
    "--classification OFFICIAL --handling P --profile neighbourhood"
)


def filled_in() -> str:
    """The draft as the guide fills it in."""
    text = (ROOT / "docs/agreements.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return str(found)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "office", tmp_path / "office/var/net/client.toml")
    net = network.create(machine.folder / "var/net", f"127.0.0.1:{free_port()}")
    broker = LiveBroker(net).start()
    try:
        yield machine
    finally:
        broker.stop()


def test_an_agreement_by_the_guide_alone(office: Machine) -> None:
    office.run(SUBMIT)
    drafted = office.run(GUIDE["1. Draft"])
    assert "Fill it in" in drafted
    (office.folder / "north-haven.yaml").write_text(filled_in(), encoding="utf-8")
    looked = office.run(GUIDE["2. Look at it"])
    assert "intelligence only" in looked
    assert "Directive (EU) 2016/680" in looked
    search = GUIDE["5. In force"].splitlines()[-1]
    assert "0 found" in office.run(search)

    assert "All parties have signed" in office.run(GUIDE["3. Each party signs"])
    proposing, approving = GUIDE["4. Two registrars"].split("\n", 1)
    proposed = office.run(proposing)
    (proposal,) = set(re.findall(r"approve ([0-9a-f]{32})", proposed))
    approved = office.run(put_in(approving, PROPOSAL=proposal))
    assert "vessels" in approved
    assert "approved" in approved

    shown = office.run(GUIDE["5. In force"])
    assert "in force" in shown
    assert "Vessel at the old harbour" in shown
    assert '"signatures"' in (office.folder / "concluded.json").read_text(encoding="utf-8")
    (record,) = re.findall(r"^([0-9a-f]{32}) ", shown, re.MULTILINE)
    get = f"entente report get {record} --profile liaison --purpose INTELLIGENCE_DEVELOPMENT"
    assert "Under agreement north-haven: use intelligence only, passing on none" in office.run(get)

    assert "withdrawn" in office.run(GUIDE["6. The end"])
    assert "0 found" in office.run(search)


def test_every_command_of_the_guide_is_run_above() -> None:
    assert set(GUIDE) == {
        "1. Draft",
        "2. Look at it",
        "3. Each party signs",
        "4. Two registrars",
        "5. In force",
        "6. The end",
    }
