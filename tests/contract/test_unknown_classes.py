"""What policy and release do not know is refused: every field under unknown classes and levels, every method to unknown
roles and permissions.

Driven by the descriptors: a new field or method is in here from the day it is declared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import cache

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from broker.app import SERVICES
from broker.decide.answers import AnswerReader
from broker.decide.catalogue import Catalogue
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import PolicyEngine
from broker.decide.opa import OpaAddress, OpaEngine
from broker.decide.question import Situation, method_question
from broker.domain.clock import SystemClock
from broker.domain.grant import FULL, PART, PSEUDONYM, View
from broker.release.classes import is_portion, is_value, messages_of, wire_files
from broker.release.plans import Plans
from broker.release.pseudonyms import Pseudonyms, Scope
from broker.release.schema import released_messages
from entente.access.v1 import access_pb2
from tests.support.canary import Filled, fill, leaks, set_paths, under
from tests.support.opa import opa_server
from tests.support.questions import BUNDLE, caller, world
from tests.support.tainted import Leaf, is_whole, leaves

__all__ = ["opa_server"]

NAMER = Pseudonyms(bytes(32)).namer(Scope.of("police.example/north", "OP-17"))
KNOWN = [value.name.removeprefix("FIELD_CLASS_") for value in access_pb2.FieldClass.DESCRIPTOR.values]
READER = AnswerReader(BUNDLE.rules, ())
UNKNOWN_CLASSES = ("NO_SUCH_CLASS", "identity", "IDENTITY ", "FIELD_CLASS_IDENTITY", "*", "")
UNKNOWN_LEVELS = ("FULL", "Full", "partial", "pseudonymous", "PSEUDONYM", "1", "true", "*", " full", "full\0")
CATALOGUE = Catalogue.from_descriptors(SERVICES)
METHODS = sorted(CATALOGUE, key=lambda rule: rule.path)


def released() -> list[Descriptor]:
    """The messages of which fields are released one by one."""
    files = wire_files()
    names = released_messages(files)
    return [m for file in files for m in messages_of(file) if m.full_name in names and not is_value(m)]


MESSAGES = released()
each = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.full_name)


@cache
def filled(message: Descriptor, variant: int) -> Filled:
    return fill(GetMessageClass(message), 1, variant=variant)


@cache
def classed(message: Descriptor) -> tuple[Leaf, ...]:
    """The paths of a message that somebody has to be granted; those within portions are the portions' own."""
    return tuple(
        leaf
        for leaf in leaves(message)
        if leaf.field_class != "ENVELOPE" and not any(_holds(field.message_type) for field in leaf.chain[:-1])
    )


def _holds(message: Descriptor | None) -> bool:
    return message is not None and is_portion(message)


def project(message: Descriptor, levels: Mapping[str, str], variant: int = 0) -> Message:
    """What is released of a message that is filled throughout."""
    made: Message = GetMessageClass(message)()
    plan = Plans().plan(message, View(tuple(sorted(levels.items()))))
    plan.project(filled(message, variant).message, made, NAMER)
    return made


def got_out(message: Descriptor, levels: Mapping[str, str]) -> set[str]:
    """The paths with a class of which anything was released."""
    found: set[str] = set()
    for variant in range(2):
        made = project(message, levels, variant)
        data, paths = made.SerializeToString(), set_paths(made)
        for leaf in classed(message):
            if leaf.path in paths or leaks(data, under(leaf.path, filled(message, variant).canaries)):
                found.add(leaf.path)
    return found


@each
def test_an_unknown_class_releases_nothing(message: Descriptor) -> None:
    assert got_out(message, dict.fromkeys(UNKNOWN_CLASSES, FULL)) == set()


@each
def test_no_class_at_all_releases_nothing(message: Descriptor) -> None:
    assert got_out(message, {}) == set()
    assert got_out(message, {"UNSPECIFIED": FULL, "ENVELOPE": FULL}) == set()


@each
@pytest.mark.parametrize("level", UNKNOWN_LEVELS)
def test_an_unknown_level_releases_nothing(message: Descriptor, level: str) -> None:
    assert got_out(message, dict.fromkeys(KNOWN, level)) == set()


@each
def test_a_class_releases_its_own_fields_alone(message: Descriptor) -> None:
    """Each field x every other class: a class in full, in part and as a pseudonym opens no other's field."""
    for name in {leaf.field_class for leaf in classed(message)} | {"DIRECTORY", "SOURCE"}:
        own = {leaf.path for leaf in classed(message) if leaf.field_class == name}
        for level in (FULL, PART, PSEUDONYM):
            out = got_out(message, {name: level})
            assert out <= own, (name, level)
            # Of a oneof only the chosen member is there.
            assert level != FULL or out == own & set().union(
                *(set_paths(filled(message, variant).message) for variant in range(2))
            )


@each
def test_a_pseudonym_where_the_schema_has_none_is_withheld(message: Descriptor) -> None:
    out = got_out(message, dict.fromkeys(KNOWN, PSEUDONYM))
    named = {leaf.path for leaf in classed(message) if leaf.descriptor.GetOptions().Extensions[access_pb2.pseudonym]}
    assert out <= named


def test_the_walk_covers_the_wire() -> None:
    """Every field with a class is looked at in some message, so that nothing above passes for want of fields."""
    seen = {leaf.descriptor.full_name for message in MESSAGES for leaf in classed(message)}
    own = {
        field.full_name
        for message in MESSAGES
        for field in message.fields
        if is_whole(field) and field.GetOptions().Extensions[access_pb2.field_class] > access_pb2.FIELD_CLASS_ENVELOPE
    }
    assert own <= seen
    assert len(own) > 100


@pytest.fixture(params=["embedded", "opa"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[PolicyEngine]:
    """Each real engine in turn, started."""
    made: PolicyEngine = EmbeddedEngine(BUNDLE)
    if request.param == "opa":
        made = OpaEngine(BUNDLE, OpaAddress(request.getfixturevalue("opa_server")), SystemClock(), deadline_s=20.0)
    await made.start()
    yield made
    await made.close()


def situation(*roles: str, purpose: str) -> Situation:
    held = frozenset(roles)
    facts = world().facts("police.example/north")
    assert facts is not None
    return Situation(caller(roles=held), facts, purpose, True, held)


async def allowed(engine: PolicyEngine, asked: Situation, permission: str, *, exempt: bool = False) -> bool:
    found = await engine.method(method_question(asked, permission, exempt=exempt))
    answer = READER.method(found.document)
    assert answer.allow or set(answer.answer_classes) <= {"ENVELOPE"}
    return answer.allow


UNKNOWN_ROLES = ((), ("janitor",), ("Officer",), ("officer ",), ("ROLE_OFFICER",), ("",), ("*",), ("officer,analyst",))
PURPOSES = ("INVESTIGATION", "ADMINISTRATION", "AUDIT")


async def test_no_method_is_open_to_an_unknown_role(engine: PolicyEngine) -> None:
    for rule in METHODS:
        for roles in UNKNOWN_ROLES:
            for purpose in PURPOSES:
                assert not await allowed(engine, situation(*roles, purpose=purpose), rule.permission), rule.path


async def test_an_unknown_role_adds_nothing_to_a_known_one(engine: PolicyEngine) -> None:
    for permission in sorted({rule.permission for rule in METHODS}):
        for role in ("officer", "inspector"):
            for purpose in PURPOSES:
                alone = situation(role, purpose=purpose)
                both = replace(alone, roles=alone.roles | {"janitor", "Administrator"})
                assert await allowed(engine, alone, permission) == await allowed(engine, both, permission)


async def test_no_role_opens_an_unknown_permission(engine: PolicyEngine) -> None:
    everything = sorted(BUNDLE.roles)
    for permission in ("UNSPECIFIED", "PERMISSION_REPORT_READ", "report_read", "REPORT_READ ", "NO_SUCH", "*", ""):
        for purpose in (*PURPOSES, "UNSPECIFIED", "NO_SUCH"):
            for exempt in (False, True):
                asked = situation(*everything, purpose=purpose)
                assert not await allowed(engine, asked, permission, exempt=exempt), (permission, purpose)


async def test_each_method_is_open_to_some_role(engine: PolicyEngine) -> None:
    """Else the refusals above would prove nothing."""
    for permission in sorted({rule.permission for rule in METHODS}):
        found = [
            (role, purpose)
            for role in sorted(BUNDLE.roles)
            for purpose in PURPOSES
            if await allowed(engine, situation(role, purpose=purpose), permission)
        ]
        assert found, permission
