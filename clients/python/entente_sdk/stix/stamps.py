"""The stamp that says which STIX object, in which version, a line, link or entity was made from.

It is the first line of a line's provenance, a link's description or an entity's description:

    STIX relationship--0a69d74a-7662-4d18-99b4-bc1a574b35b4 modified 2025-04-16T21:55:34.508Z, part 1 of 2

Readers learn from it where the item came from; the next import learns what it may replace. What has no stamp was
written by people and is never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from entente.common.v1 import entity_pb2
from entente.report.v1 import report_pb2
from entente_sdk.stix.objects import ObjectError, moment

_STAMP = re.compile(
    r"STIX (?P<id>[a-z0-9-]{3,250}--[0-9a-f-]{36})(?: modified (?P<modified>[0-9TZ:.-]+))?(?:, part \d+ of \d+)?",
    re.ASCII,
)
OLDEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stamp:
    """An object's id and its version; an object without versions has none."""

    id: str
    modified: str = ""

    def __str__(self) -> str:
        return f"STIX {self.id} modified {self.modified}" if self.modified else f"STIX {self.id}"

    @property
    def time(self) -> datetime:
        """For comparing; OLDEST without a version."""
        return time_of(self.modified)


def time_of(modified: str) -> datetime:
    """A version's time; OLDEST for none, and for what is not a time."""
    try:
        return moment(modified, "modified")
    except ObjectError:
        return OLDEST


def stamp_of(item: report_pb2.ReportLine | entity_pb2.Link | entity_pb2.Entity) -> Stamp | None:
    """The item's stamp; None: people wrote it."""
    if isinstance(item, report_pb2.ReportLine):
        text = item.provenance.text
    elif isinstance(item, entity_pb2.Link):
        text = item.description
    else:
        text = item.event.description if item.HasField("event") else item.organisation.description
    found = _STAMP.fullmatch(text.partition("\n")[0])
    return Stamp(found["id"], found["modified"] or "") if found else None
