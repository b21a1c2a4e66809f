"""What one supposed reader would see of a draft, in a form in which equal views are equal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from broker.domain.answer import StoredItem
from broker.domain.grant import Grant
from broker.domain.supposed import Sight
from broker.handle import names
from broker.handle.report.audience.draft import Draft
from entente.common.v1 import exchange_pb2
from entente.report.v1 import audience_service_pb2 as wire
from entente.report.v1 import report_pb2, report_service_pb2

ROWS = "ROWS"
_LEVELS = {
    exchange_pb2.DISCLOSURE_LEVEL_FULL: wire.AUDIENCE_LEVEL_FULL,
    exchange_pb2.DISCLOSURE_LEVEL_REDACTED: wire.AUDIENCE_LEVEL_REDACTED,
}


@dataclass(frozen=True, slots=True)
class View:
    """`hidden`: (field, key, rule, reason) of portions that are not there; `withheld` and `generalised` serialised."""

    level: wire.AudienceLevel.ValueType
    rule: str = ""
    reason: str = ""
    hidden: tuple[tuple[str, str, str, str], ...] = ()
    withheld: tuple[bytes, ...] = ()
    generalised: tuple[bytes, ...] = ()

    def size(self) -> int:
        """Bytes that it takes in an answer, roughly; its readers take some more."""
        return 64 + sum(map(len, self.withheld)) + sum(map(len, self.generalised)) + 64 * len(self.hidden)


def looked_at(draft: Draft, sight: Sight, disclose: Callable[[StoredItem, Grant], bytes]) -> View:
    """What a reader with this sight would see: in the order in which a read would look for it."""
    grant, container = sight.grant, draft.item.mark_set
    if grant is None:
        return View(wire.AUDIENCE_LEVEL_NONE, sight.rule, sight.reason)
    if grant.rows >> container & 1:
        return _released(draft, grant, disclose(draft.item, grant))
    rule, reason = grant.explain(ROWS, container, True)
    if grant.pointers >> container & 1:
        return View(wire.AUDIENCE_LEVEL_POINTER, rule, reason)
    hushed = grant.silent >> container & 1
    return View(wire.AUDIENCE_LEVEL_SILENT if hushed else wire.AUDIENCE_LEVEL_NONE, rule, reason)


def _released(draft: Draft, grant: Grant, answer: bytes) -> View:
    disclosed = report_service_pb2.GetReportResponse.FromString(answer).report
    return View(
        _LEVELS[disclosed.disclosure.level],
        hidden=tuple(_hidden(draft, grant, disclosed.report)),
        withheld=tuple(one.SerializeToString(deterministic=True) for one in disclosed.disclosure.withheld),
        generalised=tuple(one.SerializeToString(deterministic=True) for one in disclosed.disclosure.generalised),
    )


def _hidden(draft: Draft, grant: Grant, shown: report_pb2.Report) -> Sequence[tuple[str, str, str, str]]:
    """The draft's portions that the released report does not hold, with the rule that hides each."""
    there = {(field, one.key) for field in ("lines", "entities", "links") for one in getattr(shown, field)}
    found = []
    for field, key, number in draft.portions():
        if (field, key) in there:
            continue
        seen = grant.sees(number, draft.item.mark_set)
        # A link that is visible itself goes with its end.
        found.append((field, key, *(("", "") if seen else grant.explain(ROWS, number, True))))
    return found


def response(
    views: Mapping[View, Sequence[tuple[str, str]]], token: str | None, revision: str
) -> wire.PreviewAudienceResponse:
    """The answer: the fullest views first."""
    made = wire.PreviewAudienceResponse(next_page_token=token, policy_revision=revision)
    for view, readers in sorted(views.items(), key=lambda one: (one[0].level, len(one[0].withheld), one[1])):
        one = made.views.add(level=view.level)
        for agency, purpose in readers:
            one.onlookers.add(agency=agency, purpose=exchange_pb2.Purpose.Value(f"PURPOSE_{purpose}"))
        if view.rule:
            one.rule, one.reason = view.rule, names.reason(view.reason)
        for field, key, rule, reason in view.hidden:
            hidden = one.hidden.add(field=field, key=key)
            if rule:
                hidden.rule, hidden.reason = rule, names.reason(reason)
        for withheld in view.withheld:
            one.withheld.add().MergeFromString(withheld)
        for generalised in view.generalised:
            one.generalised.add().MergeFromString(generalised)
    return made
