"""A line of an export: its documents, and a page of reports as it was asked for and answered."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as wire
from entente_sdk._methods import SEARCH
from entente_tlog import errors as tlog
from entente_tlog.receipt import parse_receipt, split_receipt

FORMAT = "entente.report/1"
_PAGING = ("justification", "page_size", "page_token")


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was asked for and answered."""

    request: wire.SearchReportsRequest
    answer: wire.SearchReportsResponse
    time: datetime

    @classmethod
    def of(cls, request: bytes, response: bytes) -> Page:
        """Raises ValueError."""
        try:
            body, receipt = split_receipt(response)
            said = json.loads(parse_receipt(receipt).leaf)["time_utc"]
            asked, answer = wire.SearchReportsRequest.FromString(request), SEARCH.response.FromString(body)
            return cls(asked, answer, datetime.fromisoformat(said))
        except (DecodeError, KeyError, TypeError, tlog.TlogError) as error:
            raise ValueError("not a page of reports with its receipt") from error


def continues(first: wire.SearchReportsRequest, query: wire.SearchReportsRequest) -> bool:
    """Whether a query is this one, or asks for the later part of it."""
    narrowed = wire.SearchReportsRequest()
    narrowed.CopyFrom(first)
    later = query.HasField("updated_after") and (
        not first.HasField("updated_after") or moment(first.updated_after) <= moment(query.updated_after)
    )
    if later:
        narrowed.updated_after.CopyFrom(query.updated_after)
    return narrowed == query


def query_of(request: wire.SearchReportsRequest) -> wire.SearchReportsRequest:
    """The conditions alone."""
    query = wire.SearchReportsRequest()
    query.CopyFrom(request)
    for name in _PAGING:
        query.ClearField(name)  # type: ignore[arg-type]
    return query


def moment(stamp: Any) -> datetime:
    """A protobuf timestamp, in UTC."""
    found: datetime = stamp.ToDatetime(tzinfo=UTC)
    return found


def document(disclosed: report_pb2.DisclosedReport) -> dict[str, Any]:
    """Protobuf's JSON mapping under the protos' own names."""
    found: dict[str, Any] = json_format.MessageToDict(disclosed, preserving_proto_field_name=True)
    return found


def evidence(line: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Request and response of a page's line. Raises ValueError or KeyError."""
    try:
        request, response = (base64.b64decode(line[name], validate=True) for name in ("request", "response"))
    except binascii.Error as error:
        raise ValueError("a page is damaged") from error
    return request, response


def lines(file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(where it ends, its document) of each whole line; the last may be torn. Raises ValueError."""
    end = 0
    for raw in file:
        if not raw.endswith(b"\n"):
            return
        end += len(raw)
        line = json.loads(raw)
        if not isinstance(line, dict):
            raise ValueError("a line is no object")  # noqa: TRY004 - of a file, not of an argument
        yield end, line
