"""The projector: portions, links, pointers, wrappers, and what it refuses to release."""

from __future__ import annotations

import dataclasses

import pytest

from broker.domain.answer import Answer, StoredItem
from broker.domain.grant import Grant
from broker.release.errors import ReleaseError
from broker.release.projector import Released, Releaser
from entente.common.v1 import exchange_pb2, marks_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill, leaks
from tests.support.released import EVERYTHING, grant, item, only, without

GET = report_service_pb2.GetReportResponse
SEARCH = report_service_pb2.SearchReportsResponse


def report() -> report_pb2.Report:
    made = report_pb2.Report(title="a title")
    made.header.record_id = "ab" * 16
    made.header.version = 3
    made.header.originator = "blue.example/force"
    made.header.marks.tlp = marks_pb2.TLP_AMBER
    for key in ("l1", "l2"):
        made.lines.add(key=key, information=f"said in {key}").provenance.text = f"how {key}"
    for key in ("e1", "e2", "e3"):
        made.entities.add(key=key).person.name = f"Person {key}"
    made.links.add(key="k1", from_key="e1", to_key="e2", description="link one")
    made.links.add(key="k2", from_key="e2", to_key="e3", description="link two")
    return made


def release(held: Grant, *items: StoredItem, envelope: bytes = b"", response: type = GET) -> Released:
    return Releaser().release(Answer(envelope=envelope, items=items), response, held)


def got(released: Released) -> report_pb2.DisclosedReport:
    return GET.FromString(released.response).report


def test_hidden_portions_leave_no_trace() -> None:
    """The answer is byte for byte that of a record that never had them."""
    whole = report()
    lean = report()
    del lean.lines[1]
    del lean.entities[2]
    del lean.links[1]
    held = grant(without("SOURCE"), None)
    hidden = release(held, item(whole, 0, 1, 0, 0, 1, 0, 0))
    assert hidden == release(held, item(lean))


def test_a_link_is_released_only_with_both_ends() -> None:
    for marks, expected in (((0, 0, 0), ["k1", "k2"]), ((1, 0, 0), ["k2"]), ((0, 1, 0), []), ((0, 0, 1), ["k1"])):
        found = got(release(grant(EVERYTHING, None), item(report(), 0, 0, *marks, 0, 0)))
        assert [link.key for link in found.report.links] == expected


def test_a_link_to_nothing_is_not_released() -> None:
    dangling = report()
    dangling.links[0].to_key = "nobody"
    dangling.links[1].ClearField("from_key")
    assert not got(release(grant(EVERYTHING), item(dangling))).report.links


def test_a_line_is_no_end_of_a_link() -> None:
    odd = report()
    odd.links[0].to_key = "l1"
    assert [link.key for link in got(release(grant(EVERYTHING), item(odd))).report.links] == ["k2"]


def test_a_key_shared_with_a_hidden_entity_is_no_end() -> None:
    odd = report()
    odd.entities[2].key = "e1"
    odd.links[1].to_key = "e1"
    found = got(release(grant(EVERYTHING, None), item(odd, 0, 0, 0, 0, 1, 0, 0)))
    assert not found.report.links


def test_without_its_class_a_link_tells_not_whom_it_joins() -> None:
    found = got(release(grant(without("LINK")), item(report())))
    assert [(link.key, link.from_key, link.to_key) for link in found.report.links] == [("k1", "", ""), ("k2", "", "")]


def test_a_portion_follows_its_own_marks() -> None:
    held = grant(EVERYTHING, without("INFORMATION"))
    found = got(release(held, item(report(), 0, 1, 0, 0, 0, 0, 0)))
    assert [line.information for line in found.report.lines] == ["said in l1", ""]
    assert found.disclosure.level == exchange_pb2.DISCLOSURE_LEVEL_REDACTED
    assert [(one.path, list(one.portions)) for one in found.disclosure.withheld] == [("lines.information", ["l2"])]


def test_a_container_binds_its_contents() -> None:
    """A portion that alone would show more shows no more than its record."""
    held = grant(without("INFORMATION"), EVERYTHING)
    found = got(release(held, item(report(), 1, 1, 1, 1, 1, 1, 1)))
    assert all(not line.information for line in found.report.lines)


def test_a_portion_above_the_watermark_is_not_there() -> None:
    held = grant(EVERYTHING, EVERYTHING, watermark=0)
    found = got(release(held, item(report(), 0, 1, 0, 0, 0, 0, 0)))
    assert [line.key for line in found.report.lines] == ["l1"]


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(grant(None), id="hidden"),
        pytest.param(grant(None, pointers=1), id="pointer only"),
        pytest.param(grant(EVERYTHING, watermark=-1), id="not evaluated"),
    ],
)
def test_a_record_that_is_not_visible_is_a_defect(held: Grant) -> None:
    with pytest.raises(ReleaseError):
        release(held, item(report()))


def test_one_hidden_record_withholds_the_whole_page() -> None:
    held = grant(EVERYTHING, None)
    hidden = dataclasses.replace(item(report()), mark_set=1)
    with pytest.raises(ReleaseError):
        release(held, item(report()), hidden, response=SEARCH)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"portion_mark_sets": (0,) * 6}, id="too few mark sets"),
        pytest.param({"portion_mark_sets": (0,) * 8}, id="too many mark sets"),
        pytest.param({"portion_mark_sets": ()}, id="no mark sets"),
        pytest.param({"portion_mark_sets": (0,) * 6 + (-1,)}, id="no such mark set"),
        pytest.param({"mark_set": -1}, id="no such container"),
        pytest.param({"payload": b"\xff junk"}, id="junk"),
        pytest.param({"payload": b"\x12\x02\xff\xfe"}, id="text that is not UTF-8"),
        pytest.param({"payload": report().SerializeToString()[:-3]}, id="cut short"),
        pytest.param({"payload": b""}, id="empty"),
        pytest.param({"record_id": "cd" * 16}, id="another record"),
        pytest.param({"wrapper": b"\x08\x01"}, id="wrapper without a place"),
    ],
)
def test_an_item_that_does_not_add_up_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ReleaseError):
        release(grant(EVERYTHING), dataclasses.replace(item(report()), **change))  # type: ignore[arg-type]


def test_an_error_names_no_value() -> None:
    with pytest.raises(ReleaseError) as caught:
        release(grant(EVERYTHING), dataclasses.replace(item(report()), portion_mark_sets=()))
    assert "said in" not in str(caught.value)


def test_an_envelope_cannot_smuggle_a_record() -> None:
    smuggled = GET()
    smuggled.report.report.title = "undecided"
    with pytest.raises(ReleaseError):
        release(grant(EVERYTHING), envelope=smuggled.SerializeToString())
    version = report_service_pb2.ReportVersion()
    version.report.report.title = "undecided"
    wrapped = item(report(), wrapper=version.SerializeToString())
    with pytest.raises(ReleaseError):
        release(grant(EVERYTHING), wrapped, response=report_service_pb2.ListReportVersionsResponse)


def test_a_response_without_a_place_takes_no_items() -> None:
    with pytest.raises(ReleaseError):
        release(grant(EVERYTHING), item(report()), response=report_service_pb2.SubmitReportResponse)
    with pytest.raises(ReleaseError):
        release(grant(EVERYTHING), item(report()), item(report()))


def test_a_pointer_tells_whom_to_ask_and_nothing_else() -> None:
    filled = fill(report_pb2.Report, 5)
    held = grant(None, pointers=1)
    released = release(held, item(filled.message, as_pointer=True))
    found = got(released)
    header = filled.message.header
    assert found.pointer == exchange_pb2.Pointer(
        record_id=header.record_id, originator=header.originator, tlp=header.marks.tlp
    )
    assert leaks(released.response, filled.canaries) == {"header.record_id", "header.originator"}
    assert found.disclosure.level == exchange_pb2.DISCLOSURE_LEVEL_POINTER
    assert [group.level for group in released.groups] == ["pointer"]


@pytest.mark.parametrize("held", [grant(None), grant(EVERYTHING), grant(None, pointers=1, watermark=-1)])
def test_a_pointer_needs_the_grant(held: Grant) -> None:
    with pytest.raises(ReleaseError):
        release(held, item(report(), as_pointer=True))


@pytest.mark.parametrize(
    ("response", "wrapper", "slot"),
    [
        (report_service_pb2.ListReportVersionsResponse, report_service_pb2.ReportVersion, "versions"),
        (report_service_pb2.SubscribeReportsResponse, report_service_pb2.ReportChange, "changes"),
    ],
)
def test_a_wrapper_goes_around_its_record(response: type, wrapper: type, slot: str) -> None:
    around = wrapper(kind=report_pb2.CHANGE_KIND_AMENDED).SerializeToString() + b"\xfa\x7c\x06MARKER"
    released = release(grant(EVERYTHING), item(report(), wrapper=around), item(report()), response=response)
    found = getattr(response.FromString(released.response), slot)
    assert [one.kind for one in found] == [report_pb2.CHANGE_KIND_AMENDED, report_pb2.CHANGE_KIND_UNSPECIFIED]
    assert all(one.report.report == report() for one in found)
    assert b"MARKER" not in released.response


def test_get_search_versions_and_changes_release_the_same() -> None:
    held = grant(without("SOURCE", ""), None, without("IDENTITY", "part"))
    stored = item(report(), 0, 1, 0, 2, 1, 0, 0)
    one = got(release(held, stored))
    page = SEARCH.FromString(release(held, stored, response=SEARCH).response).reports[0]
    versions = report_service_pb2.ListReportVersionsResponse
    changes = report_service_pb2.SubscribeReportsResponse
    assert page == one
    assert versions.FromString(release(held, stored, response=versions).response).versions[0].report == one
    assert changes.FromString(release(held, stored, response=changes).response).changes[0].report == one


def test_the_envelope_stands_beside_the_items() -> None:
    envelope = SEARCH(next_page_token="token").SerializeToString()
    released = release(grant(only("HEADER")), item(report()), item(report()), envelope=envelope, response=SEARCH)
    found = SEARCH.FromString(released.response)
    assert (len(found.reports), found.next_page_token) == (2, "token")
    assert not found.HasField("receipt")


def test_an_answer_without_items_is_its_envelope() -> None:
    assert release(grant(EVERYTHING), response=SEARCH) == Released(b"", ())
