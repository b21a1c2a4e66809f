"""Records for the benchmarks: 3x5x2 reports of about 30 fields, through the front door."""

from __future__ import annotations

import asyncio
import random
import uuid

from entente.common.v1 import entity_pb2, exchange_pb2, grading_pb2, marks_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.live import LiveBroker, party_named

SUBMIT = "/entente.report.v1.ReportService/SubmitReport"


def report(number: int) -> report_pb2.Report:
    """The number-th report: two lines, three entities, a link; invented."""
    chance = random.Random(number)
    made = report_pb2.Report(title=f"Courier movements {number}", tear_line="A courier is active in the north.")
    made.header.marks.classification = marks_pb2.CLASSIFICATION_OFFICIAL
    made.header.marks.handling_code = marks_pb2.HANDLING_CODE_P
    made.header.marks.tlp = marks_pb2.TLP_AMBER
    made.themes.append("cocaine supply")
    made.operation = f"LANTERN {number % 50}"
    made.author.name = "PC Rowan Ash"
    made.author.unit = "Neighbourhood team"
    for key in ("l1", "l2"):
        line = made.lines.add(key=key, information=" ".join(chance.choices(WORDS, k=40)))
        line.grading.grading_3x5x2.source = grading_pb2.SOURCE_EVALUATION_UNTESTED
        line.grading.grading_3x5x2.assessment = grading_pb2.ASSESSMENT_KNOWN_INDIRECTLY
        line.provenance.text = " ".join(chance.choices(WORDS, k=12))
        line.provenance.source_reference = f"S-{number % 997}"
    person = made.entities.add(key="e1").person
    person.name = f"Ana {chance.choice(WORDS).title()} {number}"
    person.birth_date.year = 1960 + number % 40
    made.entities.add(key="e2").phone.number = f"+44770090{number % 10000:04d}"
    made.entities.add(key="e3").vehicle.plate = f"AB{number % 100:02d} XYZ"
    made.links.add(key="k1", from_key="e1", to_key="e2", type=entity_pb2.LINK_TYPE_USES)
    return made


WORDS = (
    "quay night van crate dock call cash lane north meet drop west float river lamp yard tide rope stall "
    "market bridge east ferry shed garage phone ledger chapel corner signal"
).split()


async def fill(broker: LiveBroker, count: int, *, callers: int = 32, party: str = "neighbourhood") -> list[str]:
    """Submit `count` reports; their ids, in order."""
    whom = party_named[party]
    ids = [""] * count
    async with broker.aio_channel(whom) as channel:
        submit = channel.unary_unary(SUBMIT)

        async def worker(first: int) -> None:
            for number in range(first, count, callers):
                request = report_service_pb2.SubmitReportRequest(
                    idempotency_key=str(uuid.uuid4()), report=report(number)
                )
                request.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
                reply = await submit(request.SerializeToString(), metadata=broker.metadata(whom), timeout=60)
                ids[number] = report_service_pb2.SubmitReportResponse.FromString(reply).record_id

        await asyncio.gather(*(worker(first) for first in range(callers)))
    return ids
