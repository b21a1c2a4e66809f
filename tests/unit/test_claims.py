"""What a call says of its caller: nothing is taken for stated that was not, and no two agencies share a decision."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from broker.decide.claims import decision_key, situated
from broker.decide.embedded import EmbeddedEngine
from broker.decide.rollout import PolicyNow
from broker.domain.caller import AgencyId
from broker.domain.directory import Agency, AgencyFacts
from broker.domain.exchange import Justification
from tests.support.questions import AGENCIES, BUNDLE, CATALOGUE, GET_REPORT, caller

POLICY = PolicyNow.of(0, BUNDLE, EmbeddedEngine(BUNDLE))


def test_agencies_that_share_a_name_or_a_domain_share_no_decision() -> None:
    rule = CATALOGUE.find(GET_REPORT)
    assert rule is not None
    names = [f"{domain}/{name}" for domain, name in product(("one.example", "two.example"), ("north", "south"))]
    keys = {decision_key(caller(name), rule, Justification("FRAUD"), POLICY) for name in names}
    assert len(keys) == len(names)
    same = replace(caller(names[0]), agency=AgencyId.parse(names[0]), token_id="another")
    assert decision_key(same, rule, Justification("FRAUD"), POLICY) in keys


def test_who_has_stated_a_purpose_has_stated_nothing_else() -> None:
    agency = Agency(AGENCIES[0], "", "GB", "LOCAL")
    found = situated(BUNDLE, caller(AGENCIES[0]), AgencyFacts(agency, (), 1), "FRAUD")
    assert (found.purpose, found.authorised, found.legal_basis, found.case_stated) == (
        "FRAUD",
        False,
        "UNSPECIFIED",
        False,
    )
    assert found.roles == {"officer"}
