"""The guides work as they stand: an agency joins from an empty machine by docs/joining.md and docs/registrars.md alone.

Two folders are the two machines; what the guides have people send, the test carries over, and what is read out on the
phone, the test types. Every `sh` block of joining.md is run as it stands, and so are those of registrars.md, with the
proposal's id and the fingerprint put in.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from certs import network
from tests.support.live import ROOT, LiveBroker, free_port

BIN = Path(sys.executable).parent
HEX = "[0-9a-f]{4}"


def blocks(name: str) -> dict[str, str]:
    """Heading -> the commands under it, of a guide."""
    found: dict[str, str] = {}
    heading = ""
    for part in re.split(r"(?m)^(#{2,3} .*)$", (ROOT / "docs" / name).read_text(encoding="utf-8")):
        if part.startswith("#"):
            heading = part.lstrip("# ")
        for block in re.findall(r"```sh\n(.*?)```", part, re.DOTALL):
            found[heading] = found.get(heading, "") + block
    return found


JOINING, REGISTRARS = blocks("joining.md"), blocks("registrars.md")


@dataclass
class Machine:
    """Somebody's machine: a folder to work in, and a home."""

    folder: Path
    config: Path | None = None

    def run(self, commands: str, *, status: int = 0, typed: str = "") -> str:
        """What a shell prints for these commands, its standard error included."""
        home = self.folder.parent / f"{self.folder.name}-home"
        environment = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}",
        }
        if self.config is not None:
            environment["ENTENTE_CONFIG"] = str(self.config)
        done = subprocess.run(
            ["/bin/bash", "-e", "-o", "pipefail", "-c", commands],
            cwd=self.folder,
            env=environment,
            input=typed,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"{commands}\n{done.stdout}"
        return done.stdout


@dataclass
class Both:
    """The newcomer's machine and the registrars'."""

    agency: Machine
    office: Machine
    broker: LiveBroker

    def carry(self, source: Path, target: Machine) -> None:
        """By mail."""
        shutil.copy(source, target.folder)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    office = Machine(tmp_path / "office", tmp_path / "office/var/net/client.toml")
    agency = Machine(tmp_path / "agency")
    agency.folder.mkdir()
    net = network.create(office.folder / "var/net", f"127.0.0.1:{free_port()}")
    broker = LiveBroker(net).start()
    try:
        yield Both(agency, office, broker)
    finally:
        broker.stop()


def spoken(text: str) -> str:
    """What is read out on the phone: the four lines of four groups."""
    lines = re.findall(rf"^ +({HEX}(?: {HEX}){{3}})$", text, re.MULTILINE)
    assert len(lines) == 4, text
    return " ".join(lines)


def put_in(commands: str, **words: str) -> str:
    for name, value in words.items():
        commands = commands.replace(name, value)
    return commands


def test_a_new_agency_joins_by_the_guides_alone(both: Both) -> None:
    agency, office = both.agency, both.office
    assert not any(agency.folder.iterdir())

    # joining.md, 2 to 4: interrupted after the key was made, and gone on with.
    agency.run(JOINING["2. Your issuer of tokens"])
    first = agency.run(JOINING["3. Key and request"])
    key = agency.folder / "fenmoor/key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    (agency.folder / "fenmoor/join-request.json").unlink()
    heard = spoken(agency.run(JOINING["4. Read the fingerprint out, twice"]))
    assert heard == spoken(first)
    assert b"PRIVATE KEY" not in (agency.folder / "fenmoor/join-request.json").read_bytes()
    both.carry(agency.folder / "fenmoor/join-request.json", office)

    # registrars.md, 1 to 3: what is typed wrongly, and who is not another person, is refused.
    checked = office.run(REGISTRARS["1. Look at the request"])
    assert "its keys can be used" in checked
    assert heard.split()[0] not in checked
    propose = REGISTRARS["2. Call the agency, and propose"]
    sent = json.loads((office.folder / "join-request.json").read_text())
    sent["agency"]["contact"] = "Control room, +44 20 7946 0666"
    (office.folder / "changed.json").write_text(json.dumps(sent))
    changed = put_in(propose, FINGERPRINT=heard).replace("join-request.json", "changed.json")
    assert "not what the agency signed" in office.run(changed, status=5)
    wrong = heard[:-1] + ("0" if heard[-1] != "0" else "1")
    assert "read it back again" in office.run(put_in(propose, FINGERPRINT=wrong), status=5)
    proposed = office.run(put_in(propose, FINGERPRINT=heard))
    (proposal,) = set(re.findall(r"(?:proposal|approve) +([0-9a-f]{32})", proposed))
    words = {"PROPOSAL": proposal, "FINGERPRINT": heard}
    own = f'entente agency approve {proposal} --fingerprint "{heard}" --profile registrar'
    assert "SECOND_PERSON_NEEDED" in office.run(own, status=4)
    early = "entente agency request PROPOSAL --profile registrar"
    assert "STEP_MISSING" in office.run(put_in(early, **words), status=2)
    deaf = put_in("entente agency approve PROPOSAL --profile second-registrar", **words)
    assert "REQUEST_INVALID" in office.run(deaf, status=5)
    assert "approved" in office.run(put_in(REGISTRARS["3. The second person"], **words))

    # registrars.md, 4 and 5: a certificate for another key is refused, by the broker and by the agency.
    office.run(put_in(REGISTRARS["4. Have the request signed"], **words))
    refuse_anothers_certificate(both, words)
    assert "police.example/agency/fenmoor" in office.run(
        put_in(REGISTRARS["5. Put the certificate on file, and send it"], **words)
    )
    both.carry(office.folder / "certificate.pem", agency)
    both.carry(office.folder / "var/net/network.toml", agency)

    # joining.md, 5 and 6: the first granted call, and again, because somebody may have been called away.
    joined = agency.run(JOINING["5. First call"])
    assert "admin.sorrel.wade of police.example/fenmoor" in joined
    assert "Receipt verified" in joined
    assert "The agency is on the network" in agency.run(JOINING["5. First call"])
    looked = agency.run(JOINING["6. Look around"])
    assert "police.example/northshire" in looked
    assert proposal in looked

    # joining.md, 7: an agreement drafted and simulated; what the partner would see changes with it.
    early = agency.run("entente agency join fenmoor")
    assert "agreement drafted" in early
    assert early.count("not yet: --partner") == 2
    drafted = agency.run(JOINING["7. Draft an agreement, and see what it would change"])
    assert (agency.folder / "fenmoor/agreement-northshire.yaml").exists()
    without, _, with_it = drafted.partition("without the agreement:")[2].partition("with it:")
    assert "by the rule agreement (agreement)" in without
    assert "redacted:" not in without
    assert "redacted: some fields withheld" in with_it
    assert "INTELLIGENCE_DEVELOPMENT" in with_it.partition("none: nothing")[0]
    assert "not yet" not in drafted.partition("Policy simulated")[2]
    digest = json.loads((agency.folder / "fenmoor/agreement-northshire.simulated.json").read_text())["digest"]
    edited = agency.folder / "fenmoor/agreement-northshire.yaml"
    edited.write_text(edited.read_text().replace("purposes: [INTELLIGENCE_DEVELOPMENT, ", "purposes: ["))
    again = agency.run("entente agency join fenmoor --partner police.example/northshire")
    assert "INTELLIGENCE_DEVELOPMENT" not in again.partition("with it:")[2].partition("none: nothing")[0]
    assert len(digest) == 64

    # registrars.md, the rest.
    appointed = office.run(REGISTRARS["Appointments"])
    (second,) = set(re.findall(r"approve ([0-9a-f]{32})", appointed))
    assert "appoint sgt.alder.finch" in office.run(f"entente agency approve {second} --profile second-registrar")
    assert "spiffe://police.example/agency/fenmoor/gateway" in office.run(REGISTRARS["What ends when"])
    everything_is_on_the_ledger(both)


def refuse_anothers_certificate(both: Both, words: dict[str, str]) -> None:
    """The same name, signed for a key that somebody else made."""
    agency, office = both.agency, both.office
    agency.run(JOINING["3. Key and request"].replace("join fenmoor", "join elsewhere"))
    request = json.loads((agency.folder / "elsewhere/join-request.json").read_text())["certificate_request"]
    (office.folder / "other.pem").write_text(request)
    office.run("python -m certs sign var/net/authority other.pem --agency police.example/fenmoor > wrong.pem")
    refused = office.run(put_in("entente agency file PROPOSAL wrong.pem --profile registrar", **words), status=5)
    assert "another key" in refused
    both.carry(office.folder / "wrong.pem", agency)
    both.carry(office.folder / "var/net/network.toml", agency)
    taken = JOINING["5. First call"].replace("--certificate certificate.pem", "--certificate wrong.pem")
    assert "another key" in agency.run(taken, status=2)
    assert not (agency.folder / "fenmoor/certificate.pem").exists()


def everything_is_on_the_ledger(both: Both) -> None:
    """As an inspector sees it: each step with who took it, the refused ones too."""
    shown = both.office.run("entente audit search --all --profile auditor --output json")
    entries = json.loads(shown)["entries"]
    seen = {
        (one["method"].rpartition("/")[2], one["outcome"], one.get("user", ""))
        for one in entries
        if one["method"].startswith("entente.directory.v1.EnrolmentService/")
    }
    first, second = "registrar.ivo.marsh", "registrar.thea.quill"
    assert seen >= {
        ("TestIssuer", "allowed", first),
        ("ProposeChange", "denied", first),
        ("ProposeChange", "allowed", first),
        ("ApproveProposal", "denied", first),
        ("ApproveProposal", "denied", second),
        ("ApproveProposal", "allowed", second),
        ("FileCertificate", "denied", first),
        ("FileCertificate", "allowed", first),
        ("ListProposals", "allowed", "admin.sorrel.wade"),
    }


def test_whoever_leaves_the_questions_unanswered_goes_on_where_they_stopped(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "agency")
    machine.folder.mkdir()
    machine.run("python -m certs trial-issuer issuer")
    # Two answers, the second one wrong and corrected; then the line is cut.
    machine.run("entente agency join fenmoor", typed="police.example/fenmoor\nFenmoor Police\ngb\nGB\n", status=1)
    assert not (machine.folder / "fenmoor/key.pem").exists()
    rest = "local\nControl room\nhttps://issuer.police.example/fenmoor\nissuer/jwks.json\n"
    shown = machine.run("entente agency join fenmoor", typed=rest)
    assert "Fenmoor" not in shown.partition("Made the key")[0]
    assert spoken(shown)
    again = machine.run("entente agency join fenmoor")
    assert spoken(again) == spoken(shown)
    assert "Made the key" not in again


@pytest.mark.parametrize("guide", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(guide: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", guide.read_text(encoding="utf-8")):
        assert (guide.parent / link).exists(), link


def test_every_command_of_the_guides_is_run_above() -> None:
    assert len(JOINING) == 6
    assert len(REGISTRARS) == 7
