"""Who may decide on the registry at all: people, in person."""

from __future__ import annotations

from typing import Any

import pytest

from broker.domain.enrolment import Person
from broker.domain.errors import DecisionError
from broker.handle.enrolment.four_eyes import require_in_person
from entente.directory.v1 import enrolment_service_pb2 as wire
from tests.support.grants import NOBODY, a_call, a_caller


@pytest.mark.parametrize(
    "claims",
    [{"on_behalf_of": ("somebody",)}, {"user": "gateway", "client": "gateway"}],
    ids=["on behalf", "a workload"],
)
def test_rule_2_only_a_person_decides_and_in_person(claims: dict[str, Any]) -> None:
    request = wire.RejectProposalRequest(proposal_id="0" * 32)
    person = require_in_person(a_call(request, NOBODY, caller=a_caller(user="ivo", client="gateway")))
    assert person == Person(str(a_caller().agency), "ivo")
    with pytest.raises(DecisionError) as caught:
        require_in_person(a_call(request, NOBODY, caller=a_caller(**claims)))
    assert caught.value.reason == "ON_BEHALF_NOT_PERMITTED"
