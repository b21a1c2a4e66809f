"""The demo's reports, all invented: places, people, plates; the phones' numbers are of the range kept for drama."""

from __future__ import annotations

from typing import Any

from entente.report.v1 import report_pb2
from entente_sdk.reports import parse_report

OPERATION = "OP LANTERN"
PHONE = "+44 7700 900123"
QUIET_PHONE = "+44 7700 900456"
COMPARTMENT = "op-lantern"
NEW_TEAR_LINE = "Couriers collect cash in Northshire; one carries a knife."
RETRACTION = "The passenger list was of another day."


def _grade(source: str, assessment: str) -> dict[str, Any]:
    return {"grading_3x5x2": {"source": source, "assessment": assessment}}


_SEEN = _grade("RELIABLE", "KNOWN_DIRECTLY")
_TOLD = _grade("UNTESTED", "CORROBORATED")


def street_report() -> report_pb2.Report:
    """What a neighbourhood officer saw and was told: one ordinary line, one that could give its source away."""
    return parse_report(
        {
            "header": {
                "marks": {"classification": "OFFICIAL", "handling_code": "P", "tlp": "AMBER"},
                "external_references": [{"source": "crime-system", "reference": "NX/42"}],
            },
            "title": "Courier fraud, Tallow Lane",
            "tear_line": "Couriers collect cash in Northshire.",
            "themes": ["courier fraud"],
            "operation": OPERATION,
            "author": {"name": "PC Rowan Ash", "unit": "Tallow Ward team"},
            "internal_notes": "Ask Sgt Vetch for overtime.",
            "lines": [_seen_line(), _protected_line()],
            "entities": _street_entities(),
            "links": [{"key": "uses", "from_key": "driver", "to_key": "phone", "type": "USES"}],
        }
    )


def _seen_line() -> dict[str, Any]:
    return {
        "key": "seen",
        "information": "Two men load parcels at 05:40.",
        "grading": _SEEN,
        "provenance": {"text": "Seen on patrol.", "source_reference": "Patrol 118"},
    }


def _protected_line() -> dict[str, Any]:
    return {
        "key": "told",
        "marks": {"sanitisation": "SOURCE_PROTECTED", "handling_code": "C", "handling_conditions": ["A2"]},
        "information": "The driver will threaten a witness.",
        "grading": _TOLD,
        "provenance": {"text": "Told in confidence.", "source_reference": "Source HERON"},
    }


def _street_entities() -> list[dict[str, Any]]:
    place = {"address": "Unit 3, Tallow Lane", "postcode": "NX1 4ZZ", "country": "GB"}
    return [
        {"key": "driver", "person": {"name": "Jory Marsh-Example", "birth_date": {"year": 1991, "month": 4}}},
        {"key": "phone", "phone": {"number": PHONE}},
        {"key": "van", "vehicle": {"plate": "NX99 DMO", "colour": "blue"}},
        {"key": "unit", "location": place},
    ]


def extra_line() -> report_pb2.ReportLine:
    """What the officer adds the next day."""
    report = parse_report(
        {"lines": [{"key": "later", "information": "A knife was seen in the van.", "grading": _SEEN}]}
    )
    return report.lines[0]


def assessment(record_id: str, version: int) -> report_pb2.Report:
    """The national agency's own view, derived from a version of the street report."""
    return parse_report(
        {
            "header": {
                "marks": {
                    "classification": "SECRET",
                    "handling_code": "C",
                    "handling_conditions": ["A1"],
                    "compartments": [COMPARTMENT],
                },
                "derived_from": [{"record_id": record_id, "version": version}],
            },
            "title": "Assessment: Lamplighters",
            "operation": OPERATION,
            "lines": [{"key": "view", "information": "One group, three forces.", "grading": _TOLD}],
            "entities": [
                {"key": "group", "organisation": {"name": "Lamplighters", "kind": "organised crime group"}},
                {"key": "driver", "person": {"name": "Jory Marsh-Example", "role": "courier"}},
            ],
            "links": [{"key": "of", "from_key": "driver", "to_key": "group", "type": "MEMBER_OF"}],
        }
    )


def released_report(agency: str) -> report_pb2.Report:
    """What the national agency lets one foreign agency have, and nobody else."""
    return parse_report(
        {
            "header": {
                "marks": {
                    "classification": "OFFICIAL",
                    "handling_code": "P",
                    "releasable_to": {"agencies": [agency]},
                }
            },
            "title": "Night ferry to Haven",
            "tear_line": "A courier may sail on Friday.",
            "lines": [
                {
                    "key": "ferry",
                    "information": "He is booked as a foot passenger.",
                    "grading": _TOLD,
                    "provenance": {"text": "A passenger list.", "source_reference": "List 7"},
                }
            ],
        }
    )


def silent_report() -> report_pb2.Report:
    """What nobody else is to learn of; the national agency wants to know who looks for it."""
    marks = {"classification": "SECRET", "handling_code": "P", "reach": "SILENT"}
    return parse_report(
        {
            "header": {"marks": marks},
            "title": "A second phone",
            "entities": [{"key": "phone", "phone": {"number": QUIET_PHONE}}],
        }
    )
