"""The last steps of `entente agency join`: an agreement drafted, and simulated before anybody signs it.

Guarantees: nothing is sent that the broker keeps; draft and sample are the agency's own files, never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_service_pb2
from entente.report.v1 import audience_service_pb2 as audience
from entente_agreement import contradictions
from entente_sdk._sync.client import Entente
from entente_sdk.agreements.drafting import invalid, read, template
from entente_sdk.agreements.words import known_words
from entente_sdk.cli.files import write
from entente_sdk.cli.report.preview import joined
from entente_sdk.cli.report.preview import sentences as views
from entente_sdk.cli.session import RETRY, print_table, say, say_receipt
from entente_sdk.cli.values import enum_name
from entente_sdk.cli.whatif import SECONDS
from entente_sdk.cli.whatif import sentences as changes
from entente_sdk.errors import ConfigurationError
from entente_sdk.joining.folder import JoinFolder
from entente_sdk.justification import Justification
from entente_sdk.profile import Profile
from entente_sdk.reports import load_report
from entente_sdk.settings import load_profile

PREVIEW = "PreviewAudience"
SAMPLE = """\
# A report to try things out with, made up. Change it as you like: it is previewed, never submitted.
header:
  marks: {classification: OFFICIAL, handling_code: P, tlp: AMBER}
title: A sample report
tear_line: A sample of what may be passed on
lines:
  - key: line-1
    information: A van was seen at the dock.
    grading: {grading_3x5x2: {source: UNTESTED, assessment: NOT_KNOWN}}
entities:
  - key: driver
    person: {name: Sam Sample, birth_date: {year: 1980}}
  - key: van
    vehicle: {plate: AB12 CDE}
"""


def draft_path(place: JoinFolder, partner: str) -> Path:
    """Where the draft of an agreement with this partner (`trust-domain/agency`) lies."""
    return place.path / f"agreement-{partner.rpartition('/')[2]}.yaml"


def simulated_path(draft: Path) -> Path:
    """Where what was simulated is noted."""
    return draft.with_suffix(".simulated.json")


def steps(place: JoinFolder) -> list[tuple[str, str]]:
    """How far the agency has come, beyond its certificate: (step, state)."""
    drafts = sorted(place.path.glob("agreement-*.yaml"))
    done = [path for path in drafts if simulated_path(path).exists()]
    return [
        ("agreement drafted", ", ".join(path.name for path in drafts) or "not yet: --partner AGENCY"),
        ("policy simulated", ", ".join(path.name for path in done) or "not yet: --partner AGENCY"),
    ]


def partner_with(place: JoinFolder, partner: str, profile_name: str) -> None:
    """Draft an agreement with a partner, or take the draft that is there, and simulate it. Raises EntenteError."""
    own, path = place.answers().agency, draft_path(place, partner)
    if partner == own or "/" not in partner:
        raise ConfigurationError("--partner is another agency, as trust-domain/agency", reason="USAGE")
    if not path.exists():
        name = f"{own.rpartition('/')[2]}-{partner.rpartition('/')[2]}"
        write(path, template(name, [own, partner]))
        say(f"Agreement drafted: {path}", "bold")
        say("It is a proposal to talk about: change it, and run this command again.")
    signed = read(path)
    if wrong := contradictions(signed.document, known_words(signed.document)):
        raise invalid(path, wrong[0])
    sample = place.path / "sample-report.yaml"
    if not sample.exists():
        write(sample, SAMPLE)
    profile = load_profile(profile_name)
    with Entente(profile, retry=RETRY) as entente:
        me = entente.directory.who_am_i().message
        _simulate(entente, profile, path, signed.text())
        _preview(entente, me, sample, signed.text(), partner)
    say("When both of you agree on it: entente agreement sign, and send it to your partner to sign.")


def _simulate(entente: Entente, profile: Profile, path: Path, text: str) -> None:
    """What it would open of the agency's present records."""
    why = profile.justification or Justification("ADMINISTRATION")
    answer = entente.policy.simulate(draft_agreement=text, justification=why, seconds=SECONDS)
    made = answer.message.simulation
    say("Policy simulated: what the agreement would change for the records that your agency holds now", "bold")
    for told, style in changes(made):
        say(f"  {told}", style)
    note = {"digest": made.digest, "exchange_id": answer.receipt.exchange_id, "policy": made.present_revision}
    write(simulated_path(path), json.dumps(note, indent=2) + "\n")
    say_receipt(answer.receipt)


def _preview(entente: Entente, me: directory_service_pb2.WhoAmIResponse, sample: Path, text: str, partner: str) -> None:
    """What the partner would see of the sample, without the agreement and with it."""
    purpose = _purpose(me)
    if not purpose:
        say(f"Whoever submits reports for you sees what your partner would: entente report preview {sample}", "yellow")
        return
    say(f"What {partner} would see of {sample.name}", "bold")
    for heading, draft in (("without the agreement", None), ("with it", text)):
        pages = entente.audience.preview(
            load_report(sample), agencies=[partner], draft_agreement=draft, justification=Justification(purpose)
        )
        say(f" {heading}:")
        _show(list(pages))


def _show(found: Sequence[audience.AudienceView]) -> None:
    for view in joined(found):
        for told, style in views(view):
            say(f"  {told}", style)


def _purpose(me: directory_service_pb2.WhoAmIResponse) -> str:
    """A purpose for which this person may preview; empty: for none."""
    for may in me.capabilities:
        if may.method.endswith(f"/{PREVIEW}") and may.allowed and may.purposes:
            return enum_name(exchange_pb2.Purpose.DESCRIPTOR, may.purposes[0])
    return ""


def show_steps(place: JoinFolder) -> None:
    """Print how far the agency has come."""
    print_table((), steps(place))
