"""Release of classes that are granted as a pseudonym: what comes through, what does not, and for whom it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.answer import Answer
from broker.domain.grant import FULL, PART, PSEUDONYM, Grant
from broker.release.cache import Key, ViewCache
from broker.release.classes import ENVELOPE
from broker.release.errors import ReleaseError
from broker.release.projector import Released, Releaser
from broker.release.pseudonyms import NOBODY, Pseudonyms, Scope
from broker.release.records import Leaf
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill, leaks, set_paths, under
from tests.support.released import CLASSES, EVERYTHING, REPORT, Levels, grant, item, without

GET, SEARCH = report_service_pb2.GetReportResponse, report_service_pb2.SearchReportsResponse
SHAPE = re.compile(r"P-[A-Z2-7]{2}-[A-Z2-7]{20}")
NORTH, SOUTH = "police.example/north", "police.example/south"
ONE, OTHER = Scope.of(NORTH, "OP-17"), Scope.of(NORTH, "OP-18")
SCOPES = (NOBODY, ONE, OTHER, Scope.of(SOUTH, "OP-17"), Scope.of(SOUTH, ""))
NAMES = Pseudonyms(bytes(range(32)))
CLASSED = [leaf for leaf in REPORT.leaves if leaf.rule.field_class != ENVELOPE]
NAMED = [leaf for leaf in CLASSED if leaf.rule.pseudonym]
ids = [leaf.path for leaf in CLASSED]


def releaser(cache_bytes: int = 0) -> Releaser:
    return Releaser(cache_bytes, NAMES)


def report(number: str = "+44 7700 900123", *more: str, record: str = "0") -> report_pb2.Report:
    """A report with a phone for each number."""
    made = report_pb2.Report(title="t")
    made.header.record_id = record * 32
    for place, one in enumerate((number, *more)):
        made.entities.add(key=f"p{place}").phone.number = one
    return made


def shown(out: Released) -> report_pb2.DisclosedReport:
    return GET.FromString(out.response).report


def numbers(out: Released) -> list[str]:
    return [entity.phone.number for entity in shown(out).report.entities]


def release(made: report_pb2.Report, scope: Scope, *marks: Levels, portions: tuple[int, ...] = ()) -> Released:
    held = grant(*(marks or (without("CONTACT", PSEUDONYM),)))
    return releaser().release(Answer(items=(item(made, *portions),)), GET, held, scope)


def texts(message: Message, path: str) -> Iterator[str]:
    """Every text at a schema path."""
    name, _, rest = path.partition(".")
    for field, value in message.ListFields():
        if field.name == name:
            for one in value if field.is_repeated else [value]:
                yield from texts(one, rest) if rest else [one]


@pytest.mark.parametrize("leaf", CLASSED, ids=ids)
@pytest.mark.parametrize("scope", [ONE, NOBODY], ids=["case", "no case"])
def test_a_field_is_a_pseudonym_or_withheld(leaf: Leaf, scope: Scope) -> None:
    for variant in range(2):
        filled = fill(report_pb2.Report, 1, variant=variant)
        answer = Answer(items=(item(filled.message),))
        out = releaser().release(answer, GET, grant(without(leaf.rule.field_class, PSEUDONYM)), scope)
        found = shown(out).report
        assert not leaks(out.response, under(leaf.path, filled.canaries))
        due = bool(leaf.rule.pseudonym) and scope.stated
        assert (leaf.path in set_paths(found)) == (due and leaf.path in set_paths(filled.message))
        assert all(SHAPE.fullmatch(text) for text in texts(found, leaf.path))


def test_no_canary_comes_through_when_every_class_is_a_pseudonym() -> None:
    for variant in range(2):
        filled = fill(report_pb2.Report, 1, variant=variant)
        answer = Answer(items=(item(filled.message),))
        out = releaser().release(answer, GET, grant(dict.fromkeys(CLASSES, PSEUDONYM)), ONE)
        envelope = {leaf.path for leaf in REPORT.leaves if leaf.rule.field_class == ENVELOPE}
        assert leaks(out.response, filled.canaries) <= envelope
        assert set_paths(shown(out).report) & {leaf.path for leaf in CLASSED} <= {leaf.path for leaf in NAMED}


def test_every_text_that_identifies_somebody_can_be_named() -> None:
    """What has none, and why, stands in decision 0017."""
    assert {leaf.path for leaf in NAMED} == {
        *(f"entities.{kind}.{name}" for kind in ("person", "organisation") for name in ("name", "aliases")),
        *("entities.organisation.registration", "entities.phone.number", "entities.phone.imei"),
        *("entities.vehicle.plate", "entities.account.identifier", "entities.document.number"),
        *("operation", "author.name", "author.number"),
    }


def test_one_phone_in_two_records_is_one_pseudonym() -> None:
    first = numbers(release(report("+44 7700 900123"), ONE))
    second = numbers(release(report("0044 (0)7700-900123", "+44 7700 900124", record="1"), ONE))
    assert first[0] == second[0] != second[1]


@pytest.mark.parametrize("scope", [OTHER, Scope.of(SOUTH, "OP-17")])
def test_another_case_or_recipient_gets_another(scope: Scope) -> None:
    assert numbers(release(report(), ONE)) != numbers(release(report(), scope))


def test_two_brokers_with_one_key_give_one_pseudonym() -> None:
    """Workers share the key."""
    assert numbers(release(report(), ONE)) == numbers(release(report(), ONE))


def test_without_a_case_the_class_is_withheld_and_says_why() -> None:
    out = release(report(), Scope.of(NORTH, "  "))
    told = {one.path: (one.rule, one.reason) for one in shown(out).disclosure.withheld}
    why = ("case_reference", exchange_pb2.WITHHELD_REASON_AGREEMENT)
    assert told == {"entities.phone.number": why, "entities.phone.imei": why}
    assert not shown(out).disclosure.generalised
    assert not shown(out).report.entities[0].phone.HasField("number")


def test_without_a_key_the_class_is_withheld() -> None:
    held = grant(without("CONTACT", PSEUDONYM))
    out = Releaser().release(Answer(items=(item(report()),)), GET, held, ONE)
    assert numbers(out) == [""]


def test_the_disclosure_and_the_ledger_say_that_it_is_one() -> None:
    out = release(report(), ONE, without("IDENTITY", PSEUDONYM))
    disclosure = shown(out).disclosure
    names = {leaf.path for leaf in NAMED if leaf.rule.field_class == "IDENTITY"}
    assert {(one.path, one.generalisation, one.rule) for one in disclosure.generalised} == {
        (name, access_pb2.GENERALISATION_PSEUDONYM, "test.rule.identity.0.full") for name in names
    }
    assert disclosure.level == exchange_pb2.DISCLOSURE_LEVEL_REDACTED
    (group,) = out.groups
    assert {(one.path, one.transform) for one in group.transformed} == {(name, "PSEUDONYM") for name in names}
    assert not names & set(group.released)


def test_a_value_in_full_is_not_joined_with_its_pseudonym() -> None:
    """One portion in full, the same value in another as a pseudonym: nothing in the answer says that they are one."""
    out = release(
        report("+44 7700 900123", "+44 7700 900123"), ONE, EVERYTHING, without("CONTACT", PSEUDONYM), portions=(0, 1)
    )
    plain, named = numbers(out)
    assert (plain, bool(SHAPE.fullmatch(named))) == ("+44 7700 900123", True)
    assert out.response.count(named.encode()) == 1
    told = {(one.path, tuple(one.portions)) for one in shown(out).disclosure.generalised}
    assert told == {("entities.phone.number", ("p1",)), ("entities.phone.imei", ("p1",))}


@pytest.mark.parametrize(
    ("container", "portion", "due"),
    [(FULL, PSEUDONYM, "P"), (PSEUDONYM, FULL, "P"), (PART, PSEUDONYM, ""), (PSEUDONYM, PART, ""), (PSEUDONYM, "", "")],
)
def test_a_coarser_form_is_never_beside_a_pseudonym(container: str, portion: str, due: str) -> None:
    out = release(report(), ONE, without("CONTACT", container), without("CONTACT", portion), portions=(1,))
    assert [text[:1] for text in numbers(out)] == [due]


@pytest.mark.parametrize(
    ("container", "portion"), [(PSEUDONYM, FULL), (PSEUDONYM, PART), (PART, PSEUDONYM), ("", PSEUDONYM), ("x", PART)]
)
def test_a_view_that_joins_the_two_is_a_defect(container: str, portion: str) -> None:
    held = grant(without("CONTACT", container), without("CONTACT", portion))
    own = grant(without("CONTACT", container), without("CONTACT", portion)).view(1, 1)
    held._views[1, 0] = own
    if portion == FULL or container in (PART, ""):
        held._views[0, 0] = grant(without("CONTACT", container)).view(0, 0)
    with pytest.raises(ReleaseError, match="looser"):
        releaser().release(Answer(items=(item(report(), 1),)), GET, held, ONE)


few = st.sampled_from(["IDENTITY", "CONTACT", "OFFICER", "OPERATION", "LINK"])
levels = st.dictionaries(few, st.sampled_from([PART, PSEUDONYM, ""]), max_size=3).map(lambda less: EVERYTHING | less)
calls = st.lists(
    st.tuples(st.builds(grant, levels, levels), st.sampled_from(SCOPES), st.lists(st.integers(0, 1), min_size=5)),
    min_size=2,
    max_size=6,
)
SHARED = releaser(64 * 1024 * 1024)
STORED = report_pb2.Report.FromString(fill(report_pb2.Report, 1).message.SerializeToString())
del STORED.entities[2:], STORED.links[1:]


@given(calls)
@settings(max_examples=40, deadline=None)
def test_a_cached_view_is_nobody_elses(made: list[tuple[Grant, Scope, list[int]]]) -> None:
    """One releaser that has served everybody before, against one that remembers nothing."""
    for held, scope, portions in made:
        answer = Answer(items=(item(STORED, *portions[:5]),))
        assert SHARED.release(answer, SEARCH, held, scope) == releaser().release(answer, SEARCH, held, scope)


def others_are_served_alike(served: Releaser) -> bool:
    """Whether anybody gets what was made for somebody else."""
    answer, held = Answer(items=(item(report()),)), grant(without("CONTACT", PSEUDONYM))
    return any(
        served.release(answer, GET, held, scope) != releaser().release(answer, GET, held, scope) for scope in SCOPES
    )


def test_the_cache_serves_pseudonyms_to_their_own_recipient_and_case_alone() -> None:
    assert not others_are_served_alike(SHARED)


@pytest.mark.parametrize("left_out", ["recipient", "case", "scope"])
def test_a_cache_without_the_scope_is_caught(left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above is itself put to the test: each part of the scope, left out of the key, is noticed."""
    leaky = releaser(64 * 1024 * 1024)
    sound = ViewCache.get, ViewCache.put

    def short(key: Key) -> Key:
        scope = key[3]
        if scope is None or left_out == "scope":
            return (*key[:3], None, *key[4:])
        kept = Scope("", scope.case) if left_out == "recipient" else Scope(scope.recipient, "")
        return (*key[:3], kept, *key[4:])

    monkeypatch.setattr(ViewCache, "get", lambda self, key, payload: sound[0](self, short(key), payload))
    monkeypatch.setattr(ViewCache, "put", lambda self, key, view: sound[1](self, short(key), view))
    assert others_are_served_alike(leaky)


def test_what_holds_no_pseudonym_is_shared_by_all_scopes() -> None:
    served = releaser(1 << 20)
    answer = Answer(items=(item(report()),))
    for scope in SCOPES:
        served.release(answer, GET, grant(without("CONTACT")), scope)
    assert (served.cache.hits, served.cache.misses) == (len(SCOPES) - 1, 1)


def test_one_recipient_and_case_are_served_from_the_cache() -> None:
    served = releaser(1 << 20)
    answer, held = Answer(items=(item(report()),)), grant(without("CONTACT", PSEUDONYM))
    assert served.release(answer, GET, held, ONE) == served.release(answer, GET, held, Scope.of(NORTH, " op-17 "))
    assert (served.cache.hits, served.cache.misses) == (1, 1)
