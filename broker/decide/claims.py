"""What a call says of its caller and of its purpose, as far as it counts.

MUSTs:
1. A role counts if policy knows it; one that counts by appointment only for the person whom the directory appoints, in
   that agency, and no other person's grant is ever shared with somebody who claims it.
2. Only a party that the token vouches for is acted for.
3. Of free text a decision knows whether it says anything, and a legal basis only as a code of the register.
4. Two calls that differ in anything that a decision depends on have different keys.
Does not: ask policy, or read the directory.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from broker.decide.bundle import PolicyBundle
from broker.decide.catalogue import MethodRule
from broker.decide.question import Situation
from broker.decide.rollout import PolicyNow
from broker.decide.vocabulary import PURPOSES, known
from broker.domain.caller import Caller
from broker.domain.directory import AgencyFacts
from broker.domain.errors import DecisionError
from broker.domain.exchange import Justification


def situated(bundle: PolicyBundle, caller: Caller, facts: AgencyFacts, purpose: str) -> Situation:
    """The caller of an agency, who has stated a purpose and nothing else."""
    roles = frozenset(
        role
        for role in caller.roles & bundle.roles
        if role not in bundle.appointed_roles or (caller.user, role) in facts.appointments
    )
    return Situation(caller, facts, purpose, False, roles)


def stating(situation: Situation, said: Justification, bundle: PolicyBundle) -> Situation:
    """The same, with what the call states. Raises DecisionError ON_BEHALF_NOT_PERMITTED."""
    if said.on_behalf_of and said.on_behalf_of not in situation.caller.on_behalf_of:
        raise DecisionError(
            "ON_BEHALF_NOT_PERMITTED", "your token does not say that you may act for this party; leave it out"
        )
    return replace(
        situation,
        purpose=known(said.purpose, PURPOSES),
        authorised=says(said.authoriser),
        legal_basis=known(said.legal_basis.strip(), bundle.legal_bases),
        case_stated=says(said.case_reference),
    )


def decision_key(caller: Caller, rule: MethodRule, said: Justification | None, policy: PolicyNow) -> Hashable:
    """All that a decision depends on, beside what the directory and the mark sets say.

    The user is left out, so that officers alike share it, unless a role is claimed that counts by appointment: that is
    one person's.
    """
    agency, bundle = caller.agency, policy.bundle
    stated = said and (
        said.purpose,
        said.on_behalf_of,
        says(said.authoriser),
        known(said.legal_basis.strip(), bundle.legal_bases),
        says(said.case_reference),
    )
    return (
        policy.epoch,
        agency.trust_domain,
        agency.agency,
        caller.roles,
        "" if caller.roles.isdisjoint(bundle.appointed_roles) else caller.user,
        caller.clearance,
        caller.nationalities,
        caller.purposes,
        caller.on_behalf_of,
        rule.permission,
        rule.justification_exempt,
        rule.marked,
        stated,
    )


def says(text: str) -> bool:
    """Whether a text names somebody or something: blanks and signs do not."""
    return any(map(str.isalnum, text))
