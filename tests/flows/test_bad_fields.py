"""Bad bytes and fields over real TLS: malformed, oversize, unknown, missing; each named, and nothing stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from entente.common.v1 import exchange_pb2
from tests.support.exchanges import (
    REPORT,
    SUBMIT,
    submission,
)
from tests.support.house import House, refusal_details
from tests.support.nothing_done import nothing_done

pytestmark = pytest.mark.asyncio(loop_scope="module")

Code = grpc.StatusCode


def without_justification() -> Any:
    request = submission()
    request.ClearField("justification")
    return request


def without_purpose() -> Any:
    request = submission()
    request.justification.ClearField("purpose")
    return request


def unknown_purpose() -> Any:
    request = submission()
    request.justification.purpose = 99  # type: ignore[assignment]
    return request


def purpose_zero() -> Any:
    request = submission()
    request.justification.purpose = exchange_pb2.PURPOSE_UNSPECIFIED
    return request


def unknown_enum(change: Callable[[Any], None]) -> Any:
    request = submission()
    change(request.report)
    return request


def bad_key() -> Any:
    return submission(key="not-a-uuid")


def without_marks() -> Any:
    request = submission()
    request.report.header.ClearField("marks")
    return request


def broker_set_field() -> Any:
    request = submission()
    request.report.header.originator = "police.example/national-agency"
    return request


def too_long() -> Any:
    request = submission()
    request.report.title = "x" * 501
    return request


@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        (without_justification, "justification"),
        (without_purpose, "justification.purpose"),
        (unknown_purpose, "justification.purpose"),
        (purpose_zero, "justification.purpose"),
        (bad_key, "idempotency_key"),
        (without_marks, "(request)"),
        (broker_set_field, "report.header.originator"),
        (too_long, "report.title"),
        (
            lambda: unknown_enum(lambda report: setattr(report.header.marks, "classification", 99)),
            "report.header.marks.classification",
        ),
        (
            lambda: unknown_enum(lambda report: setattr(report.lines[0].grading.grading_3x5x2, "source", 99)),
            "report.lines.grading.grading_3x5x2.source",
        ),
        (lambda: unknown_enum(lambda report: setattr(report.links[0], "type", 99)), "report.links.type"),
        (
            lambda: unknown_enum(lambda report: report.header.marks.handling_conditions.append(99)),
            "report.header.marks.handling_conditions",
        ),
        (lambda: unknown_enum(lambda report: setattr(report.links[0], "to_key", "e9")), "report.links[0].to_key"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(place: House, request_of: Callable[[], Any], field: str) -> None:
    """INVALID_ARGUMENT, REQUEST_INVALID, and which field: a missing justification, an unknown purpose or enum value."""
    refused, _ = await nothing_done(place, SUBMIT, request_of())
    assert (refused.status, refused.reason) == (Code.INVALID_ARGUMENT, "REQUEST_INVALID")
    (bad,) = [detail for detail in refusal_details(refused.error) if detail.DESCRIPTOR.name == "BadRequest"]
    assert field in [violation.field for violation in bad.field_violations]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "sent", "status", "reason"),
    [
        (SUBMIT, b"\x0a\xff", Code.INVALID_ARGUMENT, "REQUEST_MALFORMED"),
        (SUBMIT, b"\xff" * ((1 << 20) + 1), Code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
        (SUBMIT, submission().SerializeToString() + b"\xfa\x3f\x03abc", Code.INVALID_ARGUMENT, "FIELD_UNKNOWN"),
        (f"{REPORT}DropReports", b"", Code.UNIMPLEMENTED, "METHOD_UNKNOWN"),
    ],
    ids=["malformed", "oversize", "unknown field", "unknown method"],
)
async def test_bytes_that_are_no_request(place: House, path: str, sent: bytes, status: Code, reason: str) -> None:
    refused, _ = await nothing_done(place, path, sent)
    assert (refused.status, refused.reason) == (status, reason)


async def test_an_unknown_field_deep_inside_is_named(place: House) -> None:
    request = submission()
    request.report.lines[1].provenance.MergeFromString(b"\xfa\x3f\x03abc")
    refused, _ = await nothing_done(place, SUBMIT, request)
    assert refused.reason == "FIELD_UNKNOWN"
    (bad,) = [detail for detail in refusal_details(refused.error) if detail.DESCRIPTOR.name == "BadRequest"]
    assert bad.field_violations[0].field == "report.lines.provenance"  # type: ignore[attr-defined]
