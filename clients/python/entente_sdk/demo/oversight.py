"""Who saw it, who was told, and that nothing was altered: the second half of the demo."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from certs.network import Network
from entente.audit.v1 import audit_pb2
from entente.common.v1 import exchange_pb2
from entente_sdk.answers import Receipt
from entente_sdk.cli.values import enum_name
from entente_sdk.demo.checks import expect
from entente_sdk.demo.fields import Cell
from entente_sdk.demo.screen import Screen
from entente_sdk.demo.story import Story
from entente_sdk.demo.table import Section, entry_table, field_table, legend, told_table
from entente_sdk.demo.tamper import fingerprint, tamper
from entente_sdk.queries import AuditQuery
from entente_tlog.verify import verify_directory


def show_fields(screen: Screen, sections: list[Section], headings: list[tuple[str, str]]) -> None:
    """The one table, the words of its rules, and the assertions that make it worth reading."""
    with screen.step("Field by field: what each was handed, and why not more"):
        street, assessment, released = sections
        source = _cells(street, "lines[1].provenance.source_reference")
        expect(source["neighbourhood"].kind == "value", "the originator's source handler sees the source")
        for party in ("regional", "national", "liaison"):
            expect(source[party].rule == "source_stays", f"the source is withheld from {party} by source_stays")
        protected = _cells(street, "lines[2].information")
        expect(_kinds(protected) == ["value", "hidden", "hidden", "hidden", "refused"], "the protected line stays")
        postcode = _cells(street, "entities[4].location.postcode")
        expect(postcode["liaison"].kind == "generalised", "the place goes abroad as its district")
        name = _cells(street, "entities[1].person.name")
        expect(name["regional"].kind == "generalised" and name["national"].kind == "value", "names follow the purpose")
        group = _cells(assessment, "entities[1].organisation.name")
        expect(_kinds(group) == ["hidden", "hidden", "value", "hidden", "refused"], "the group is in its compartment")
        title = _cells(released, "title")
        expect(_kinds(title) == ["hidden", "hidden", "value", "value", "refused"], "the released report has recipients")
        screen.table(field_table(sections, headings))
        screen.table(legend(sections))


async def show_told(story: Story) -> None:
    """Which change reached whom; that nothing else is on its way is proven by reading each stream to its end."""
    with story.screen.step("What each watcher was told"):
        parties = story.cast.readers
        for member in parties:
            expect(not await member.watcher.rest(), f"nothing else was on its way to {member.name}")
        expected = {
            "neighbourhood": [0, 3],
            "regional": [0, 3],
            "national": [0, 1, 2, 3, 4, 5],
            "liaison": [0, 2, 3, 5],
        }
        for member in parties:
            wanted = [story.happened[number][1] for number in expected[member.name]]
            expect(member.watcher.told == wanted, f"{member.name} was told of its {len(wanted)} changes, in order")
        rows = [(words, [change in member.watcher.told for member in parties]) for words, change in story.happened]
        story.screen.table(told_table(rows, [member.name for member in parties]))


async def show_audit(story: Story) -> None:
    """The auditor: who saw the street report, and who was refused."""
    auditor, screen = story.cast["auditor"], story.screen
    with screen.step("The auditor asks who saw the street report"):
        history = auditor.client.audit.record_history(story.street, justification=auditor.why)
        # Refused attempts are part of a record's history too; they have a table of their own below.
        seen = [entry async for entry in history if entry.outcome == "allowed"]
        agencies = {entry.agency for entry in seen}
        expect(
            agencies == {member.party.agency for member in story.cast.readers}, "all four agencies are on the ledger"
        )
        screen.table(
            entry_table(
                "Who saw it, and how many of the schema's fields",
                ("released", "withheld"),
                [(*_line(entry), *_much(entry)) for entry in seen],
            )
        )
        query = AuditQuery(outcome="denied")
        denied = [entry async for entry in auditor.client.audit.search(query, justification=auditor.why)]
        expect({entry.agency for entry in denied} >= {auditor.party.agency}, "the auditor's own attempt is on record")
        rows = [(*_line(entry), entry.reason) for entry in reversed(denied)]
        screen.table(entry_table("Who was refused, newest last", ("reason",), rows))
        screen.note("Reading the audit log is on the audit log too.")


def show_proof(screen: Screen, network: Network, copy: Path, receipt: Receipt) -> None:
    """The ledger verified offline, then a copy of it with one byte changed."""
    with screen.step("With the broker stopped, the ledger is verified from its files alone"):
        before = fingerprint(network.ledger)
        report = verify_directory(network.ledger, network.log_key)
        expect(report.ok and report.entries_verified == report.size > 0, "the ledger verifies")
        expect(receipt.index < report.size, "the liaison officer's receipt is of this ledger")
        root = base64.b64encode(report.root).decode()
        screen.granted(f"ok: {report.entries_verified} entries rehashed; root {root}")
    with screen.step("One byte of a copy is changed"):
        word = b"haven-police"
        done = tamper(network.ledger, copy, receipt.leaf_bytes, word, network.log_key)
        screen.says(f"Entry {receipt.index}, what the liaison officer was given: who asked, {word.decode()!r},")
        screen.says(
            f"byte {done.offset} of {done.file.relative_to(copy)}: {done.before:#04x} becomes {done.after:#04x}."
        )
        expect(not done.report.ok, "the changed copy does not verify")
        expect(done.report.first_damaged == receipt.index, f"verification names entry {receipt.index}")
        screen.denied(f"NOT verified: the first damaged entry is {done.report.first_damaged}.")
        expect(fingerprint(network.ledger) == before, "the original was not touched")
        expect(verify_directory(network.ledger, network.log_key).ok, "the original still verifies")
        screen.granted("The original is as it was, and verifies.")


def _cells(section: Section, label: str) -> dict[str, Cell]:
    found = [leaf for leaf in section.leaves if leaf.label == label]
    expect(len(found) == 1, f"{section.title} has a field {label}")
    return dict(zip(section.views, section.cells(found[0]), strict=True))


def _kinds(cells: dict[str, Cell]) -> list[str]:
    return [cell.kind for cell in cells.values()]


def _line(entry: audit_pb2.AuditEntry) -> tuple[str, ...]:
    return (
        str(entry.index),
        f"{entry.time.ToDatetime():%H:%M:%S}",
        entry.user,
        entry.agency.partition("/")[2],
        enum_name(exchange_pb2.Purpose.DESCRIPTOR, entry.purpose) if entry.purpose else "",
        re.sub("Reports?$", "", entry.method.rpartition("/")[2]),
    )


def _much(entry: audit_pb2.AuditEntry) -> tuple[str, str]:
    """How many fields of the schema were released and withheld; a write releases none."""
    if not entry.disclosures:
        return "-", "-"
    released = {path for one in entry.disclosures for path in one.released}
    withheld = {item.path for one in entry.disclosures for item in one.withheld}
    return str(len(released)), str(len(withheld))
