"""Of each message: what is absent stays absent in every form, and whole is only what nothing is withheld of."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from broker.domain.grant import FULL, PART, PSEUDONYM, View
from broker.release.classes import classes_within, is_value
from broker.release.errors import SchemaError
from broker.release.plans import Plans, _holds_portion
from entente.common.v1 import entity_pb2
from tests.support.released import CLASSES, REPORT


def within(message: Descriptor) -> dict[str, Descriptor]:
    """The message and all that it holds, by name."""
    found, waiting = dict[str, Descriptor](), [message]
    while waiting:
        one = waiting.pop()
        if one.full_name not in found:
            found[one.full_name] = one
            waiting += [field.message_type for field in one.fields if field.message_type is not None]
    return found


HELD = within(REPORT.message)


@pytest.mark.parametrize("name", sorted(HELD))
@pytest.mark.parametrize("level", [FULL, PART, PSEUDONYM])
def test_what_is_absent_stays_absent(name: str, level: str) -> None:
    made = GetMessageClass(HELD[name])
    plan = Plans().plan(HELD[name], View(tuple((one, level) for one in CLASSES)))
    released = made()
    plan.project(made(), released, lambda kind, value: f"{kind} {value}")
    assert released == made()


def test_a_message_is_whole_where_every_class_within_it_is_in_full() -> None:
    checked = 0
    for message in HELD.values():
        if is_value(message) or _holds_portion(message):
            continue
        for withheld in classes_within(message):
            view = View(tuple((name, FULL) for name in CLASSES if name != withheld))
            assert not Plans().plan(message, view).whole, (message.full_name, withheld)
            checked += 1
    assert checked > 10


def test_plans_are_kept_side_by_side_until_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Plans()
    views = [View(((name, FULL),)) for name in CLASSES]
    message = entity_pb2.Phone.DESCRIPTOR
    wanted = [View(((name, FULL),)) for name in sorted(classes_within(message) - {"ENVELOPE"})]
    first = [kept.plan(message, view) for view in (View(()), *wanted)]
    assert [kept.plan(message, view) for view in (View(()), *wanted)] == first
    assert len({id(plan) for plan in first}) == len(first) > 1
    monkeypatch.setattr("broker.release.plans._MOST_PLANS", 3)
    for message, view in ((one, view) for one in HELD.values() for view in views):
        kept.plan(message, view)
        assert len(kept) < 12  # and what the last of them holds


def test_a_field_whose_name_is_a_word_of_the_language_has_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.release.plans.treatment", lambda rule, levels: FULL)
    file = FileDescriptorProto(name="words.proto", syntax="proto3")
    message = file.message_type.add(name="Words")
    message.field.add(name="class", number=1, type=FieldDescriptorProto.TYPE_STRING)
    pool = DescriptorPool()
    pool.Add(file)
    with pytest.raises(SchemaError):
        Plans().plan(pool.FindMessageTypeByName("Words"), View(()))
