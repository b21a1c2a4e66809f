"""The released-view cache: it changes nothing but the time, whoever asked before."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.answer import Answer
from broker.domain.grant import FULL, PART, Grant
from broker.release.cache import OVERHEAD_BYTES, ReleasedView, ViewCache
from broker.release.projector import Releaser
from broker.release.shapes import Shapes
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill
from tests.support.released import CLASSES, EVERYTHING, REPORT, grant, item, without

SEARCH = report_service_pb2.SearchReportsResponse
GET = report_service_pb2.GetReportResponse


def report(seed: int = 0) -> report_pb2.Report:
    made = report_pb2.Report.FromString(fill(report_pb2.Report, seed).message.SerializeToString())
    del made.entities[2:]
    del made.links[1:]
    return made


REPORTS = [report(seed) for seed in range(2)]
few = st.sampled_from(["SOURCE", "IDENTITY", "INFORMATION", "LINK", "MARKING"])
levels = st.dictionaries(few, st.sampled_from([PART, ""]), max_size=2).map(lambda less: {**EVERYTHING, **less})
grants = st.builds(
    lambda general, own, rule: grant(general, own, None, rule=rule), levels, levels, st.sampled_from(["one", "two"])
)
calls = st.lists(
    st.tuples(grants, st.integers(0, 1), st.lists(st.integers(0, 2), min_size=5, max_size=5)), min_size=2, max_size=8
)
SHARED = Releaser()


@given(calls)
@settings(max_examples=150, deadline=None)
def test_a_cached_answer_is_what_a_fresh_broker_would_give(made: list[tuple[Grant, int, list[int]]]) -> None:
    """One releaser that has served everybody before, against one that remembers nothing."""
    for held, which, portions in made:
        answer = Answer(items=(item(REPORTS[which], *portions),))
        assert SHARED.release(answer, SEARCH, held) == Releaser(cache_bytes=0).release(answer, SEARCH, held)


def test_a_second_caller_with_equal_rights_is_served_from_the_cache() -> None:
    releaser = Releaser()
    answer = Answer(items=(item(report()),))
    first = releaser.release(answer, GET, grant(without("SOURCE")))
    second = releaser.release(answer, SEARCH, grant(without("SOURCE")))
    assert (releaser.cache.hits, releaser.cache.misses) == (1, 1)
    assert GET.FromString(first.response).report == SEARCH.FromString(second.response).reports[0]


def test_other_rules_for_the_same_fields_are_another_view() -> None:
    releaser = Releaser()
    answer = Answer(items=(item(report()),))
    for rule in ("one", "two"):
        out = GET.FromString(releaser.release(answer, GET, grant(without("SOURCE"), rule=rule)).response)
        assert all(one.rule.startswith(rule) for one in out.report.disclosure.withheld)
    assert releaser.cache.hits == 0


def test_another_payload_under_the_same_version_is_not_served_from_the_cache() -> None:
    releaser = Releaser()
    changed = report()
    changed.title = "changed"
    for one in (report(), changed):
        out = GET.FromString(releaser.release(Answer(items=(item(one),)), GET, grant(EVERYTHING)).response)
        assert out.report.report.title == one.title


def test_a_pointer_is_not_served_as_a_record() -> None:
    releaser = Releaser()
    held = grant(EVERYTHING, pointers=1)
    releaser.release(Answer(items=(item(report()),)), GET, held)
    out = GET.FromString(releaser.release(Answer(items=(item(report(), as_pointer=True),)), GET, held).response)
    assert out.report.WhichOneof("content") == "pointer"


def test_grants_are_told_apart_after_one_is_gone() -> None:
    """A new grant may get an old one's address; it must not get its decisions."""
    releaser = Releaser(cache_bytes=0)
    for round_ in range(600):
        held = grant(EVERYTHING if round_ % 2 else without("SUMMARY"))
        out = GET.FromString(releaser.release(Answer(items=(item(_tiny()),)), GET, held).response)
        assert out.report.report.HasField("title") == bool(round_ % 2)


def _tiny() -> report_pb2.Report:
    made = report_pb2.Report(title="t")
    made.header.record_id = "0" * 32
    return made


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000)), max_size=60), st.integers(0, 8000))
def test_memory_stays_within_its_bound(puts: list[tuple[int, int]], capacity: int) -> None:
    cache = ViewCache(capacity)
    shape = Shapes().pointer(REPORT)
    for name, size in puts:
        cache.put((str(name), 1, 1), ReleasedView(b"p" * size, b"f", shape, ()))
        assert cache.size <= capacity
    held = [found for name in range(10) if (found := cache._views.get((str(name), 1, 1)))]
    assert cache.size == sum(view.size for view in held)
    assert len(cache) == len(held)


def test_the_least_recently_used_view_goes_first() -> None:
    shape = Shapes().pointer(REPORT)
    cache = ViewCache(3 * (OVERHEAD_BYTES + 2))
    for name in "abc":
        cache.put((name, 1, 1), ReleasedView(b"p", b"f", shape, ()))
    assert cache.get(("a", 1, 1), b"p")
    cache.put(("d", 1, 1), ReleasedView(b"p", b"f", shape, ()))
    assert [cache.get((name, 1, 1), b"p") is not None for name in "abcd"] == [True, False, True, True]


def test_levels_cover_every_class_of_the_catalogue() -> None:
    assert {name for name, level in EVERYTHING.items() if level == FULL} == set(CLASSES)
