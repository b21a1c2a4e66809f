"""Release plans: for one message type and one view, a compiled function that builds the released message afresh.

MUSTs:
1. Only fields that the plan names are read, and only known values are written: unknown fields and unknown enum numbers
   do not survive, at any depth, in values neither. No message is ever copied, merged or cleared.
2. ENVELOPE is always released. Of the other classes FULL releases, PART gives the field's coarser form (a scalar
   without one is withheld), PSEUDONYM a pseudonym (a field without one is withheld, a value message too), everything
   else withholds. A class that the view does not name is withheld.
3. A submessage of which something is withheld is present only if something released is in it, so that its presence
   tells nothing; the member of a oneof is present for itself, for its class releases that.
4. Portions and receipts are never released by a plan: the projector decides each portion, the ledger makes the receipt.

A plan is made of schema and view alone; for whom pseudonyms are made is given to it at each projection.

Plans are Python source, generated from descriptors and compiled once: about 0.3 us a field.
For one event loop: it takes no lock.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD, View
from broker.release.classes import (
    ENUM,
    ENVELOPE,
    KEEP,
    MESSAGE,
    NO_COARSER_FORM,
    PORTION,
    RECEIPT,
    SCALAR,
    UNCLASSED,
    VALUE,
    FieldRule,
    classes_within,
    field_rules,
    is_value,
)
from broker.release.errors import SchemaError
from broker.release.pseudonyms import Namer
from broker.release.transforms import FORMS, fits, nameable

Project = Callable[[Message, Message, Namer | None], None]
Levels = tuple[tuple[str, str], ...]

# In the levels of a value message: the class of the field that holds it.
OF_HOLDER = ""

# Far more than policies make (about 170); a policy that makes more costs compiling, not memory.
_MOST_PLANS = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """How one message type is released under one view.

    `number` is unique in this process and never used again. `project(source, fresh, namer)` fills a fresh message; the
    namer makes the pseudonyms, None where the view has none.
    `whole`: nothing of it is withheld or coarser; `empty`: nothing of it is released. `source` is the function's text.
    """

    number: int
    message_type: Descriptor
    levels: Levels
    project: Project
    whole: bool
    empty: bool
    source: str


def treatment(rule: FieldRule, levels: Mapping[str, str]) -> str:
    """How a field is released: FULL, PART, PSEUDONYM or WITHHELD. The one place that says what a level means."""
    if rule.field_class == ENVELOPE:
        return FULL
    if rule.field_class == UNCLASSED:
        return WITHHELD
    level = levels.get(rule.field_class, WITHHELD)
    if level == PART:
        return _in_part(rule)
    if level == PSEUDONYM:
        return PSEUDONYM if rule.pseudonym and rule.kind == SCALAR else WITHHELD
    return FULL if level == FULL else WITHHELD


def _in_part(rule: FieldRule) -> str:
    if rule.kind == VALUE:
        return PART if any(_in_part(inner) != WITHHELD for inner in field_rules(rule.message_type)) else WITHHELD
    if rule.kind in (MESSAGE, PORTION) or rule.generalisation == NO_COARSER_FORM:
        return WITHHELD
    return FULL if rule.generalisation == KEEP else PART


def _in_value(rule: FieldRule, held: Mapping[str, str]) -> str:
    """A value's field, by the level of the field that holds the value."""
    level = held.get(OF_HOLDER, WITHHELD)
    return _in_part(rule) if level == PART else FULL if level == FULL else WITHHELD


def restrict(view: View, message: Descriptor) -> Levels:
    """The part of a view that this message can feel, so that plans are shared by views that differ elsewhere."""
    within = classes_within(message)
    return tuple(pair for pair in view.levels if pair[0] in within and pair[1] != WITHHELD)


class Plans:
    """Plans by (message type, what the view says of its classes), compiled at first use."""

    def __init__(self) -> None:
        self._plans: dict[tuple[str, Levels], Plan] = {}
        self._made = 0

    def __len__(self) -> int:
        return len(self._plans)

    def plan(self, message: Descriptor, view: View) -> Plan:
        """The plan of this type under this view. Raises SchemaError for what cannot be released field by field."""
        return self._of(message, restrict(view, message))

    def _of(self, message: Descriptor, levels: Levels) -> Plan:
        key = (message.full_name, levels)
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            found = self._plans[key] = self._compile(message, levels)
        return found

    def _compile(self, message: Descriptor, levels: Levels) -> Plan:
        held = dict(levels)
        if is_value(message):
            treated = [(rule, _in_value(rule, held)) for rule in field_rules(message)]
        else:
            treated = [(rule, treatment(rule, held)) for rule in field_rules(message) if not _apart(rule)]
        writer = _Writer(message)
        for rule, how in treated:
            if how != WITHHELD:
                writer.field(rule, how, self._inner(rule, how, levels))
        self._made += 1
        project, source = writer.compile(self._made)
        return Plan(self._made, message, levels, project, writer.whole(treated), writer.empty, source)

    def _inner(self, rule: FieldRule, how: str, levels: Levels) -> Plan | None:
        if rule.kind == VALUE:
            return self._of(rule.message_type, ((OF_HOLDER, how),))
        if rule.kind == MESSAGE:
            within = classes_within(rule.message_type)
            return self._of(rule.message_type, tuple(pair for pair in levels if pair[0] in within))
        return None


def _apart(rule: FieldRule) -> bool:
    """Fields that other parts fill: portions (also as the item of an answer) and the receipt."""
    return rule.kind == PORTION or (rule.kind == MESSAGE and _holds_portion(rule.message_type)) or _is_receipt(rule)


def _is_receipt(rule: FieldRule) -> bool:
    return rule.kind in (MESSAGE, VALUE) and rule.message_type.full_name == RECEIPT


def _holds_portion(message: Descriptor) -> bool:
    return any(rule.kind == PORTION for rule in field_rules(message)) or any(
        rule.kind == MESSAGE and _holds_portion(rule.message_type) for rule in field_rules(message)
    )


class _Writer:
    """Writes the text of one plan's function: `s` is the source, `d` the fresh message."""

    def __init__(self, message: Descriptor) -> None:
        self._message = message
        self._lines: list[str] = []
        self._oneofs: dict[str, list[str]] = {}
        self._names: dict[str, Any] = {}
        self._complete = True

    @property
    def empty(self) -> bool:
        return not (self._lines or self._oneofs)

    def whole(self, treated: list[tuple[FieldRule, str]]) -> bool:
        return self._complete and all(how == FULL for _, how in treated)

    def field(self, rule: FieldRule, how: str, inner: Plan | None) -> None:
        """Add one field that is released (`how` is FULL, PART or PSEUDONYM)."""
        name = rule.name
        if not name.isidentifier() or keyword.iskeyword(name):
            raise SchemaError(f"{rule.descriptor.full_name} needs a name that is no keyword")
        if inner is not None:
            self._complete = self._complete and inner.whole
            if inner.empty and not rule.oneof and not inner.whole:
                return
        body = list(self._message_field(rule, inner) if inner is not None else self._scalar(rule, how))
        if rule.oneof:
            word = "elif" if rule.oneof in self._oneofs else "if"
            self._oneofs.setdefault(rule.oneof, []).extend(
                (f"{word} k == {name!r}:", *(f"    {line}" for line in body))
            )
        elif rule.repeated or inner is None:
            self._lines += body
        else:
            self._lines += [f"if s.HasField({name!r}):", *(f"    {line}" for line in body)]

    def _message_field(self, rule: FieldRule, inner: Plan) -> Iterator[str]:
        name, project = rule.name, f"p{inner.number}"
        self._names[project] = inner.project
        if not rule.repeated:
            yield f"c = d.{name}"
            if inner.whole or rule.oneof:
                yield "c.SetInParent()"
            yield f"{project}(s.{name}, c, n)"
        elif inner.whole:
            yield f"for v in s.{name}: {project}(v, d.{name}.add(), n)"
        else:
            fresh = f"T{inner.number}"
            self._names[fresh] = GetMessageClass(inner.message_type)
            yield f"for v in s.{name}:"
            yield f"    c = {fresh}()"
            yield f"    {project}(v, c, n)"
            yield f"    if c.ByteSize(): d.{name}.append(c)"

    def _scalar(self, rule: FieldRule, how: str) -> Iterator[str]:
        name, known = rule.name, ""
        form = self._form(rule, how)
        if not form and rule.kind == ENUM and rule.descriptor.enum_type is not None:
            known = f"e_{name}"
            self._names[known] = frozenset(rule.descriptor.enum_type.values_by_number)
        if rule.repeated:
            yield f"r = s.{name}"
            yield from self._repeated(name, form, known)
            return
        # Asking for the value first is cheaper than asking whether it is there, and most are.
        yield f"v = s.{name}"
        present = f"v or s.HasField({name!r})" if rule.descriptor.has_presence else "v"
        if form:
            yield f"if {present}:"
            yield f"    v = {form}v)"
            present = "v is not None"
        lead = "    " if form else ""
        yield f"{lead}if {f'v in {known} and ({present})' if known else present}: d.{name} = v"

    def _form(self, rule: FieldRule, how: str) -> str:
        """The call that makes the released form, up to its last argument; empty when the value is released as it is."""
        if how == PSEUDONYM:
            if not nameable(rule.descriptor):
                raise SchemaError(f"{rule.descriptor.full_name} cannot hold a pseudonym")
            return f"n({rule.pseudonym!r}, "
        if how != PART:
            return ""
        if not fits(rule.generalisation, rule.descriptor):
            raise SchemaError(f"{rule.descriptor.full_name} has no form {rule.generalisation}")
        form = f"g_{rule.generalisation}"
        self._names[form] = FORMS[rule.generalisation]
        return f"{form}("

    @staticmethod
    def _repeated(name: str, form: str, known: str) -> Iterator[str]:
        """Lists are short: a loop that appends is cheaper than a list that is made to be copied."""
        if not (form or known):
            yield f"if r: d.{name}.extend(r)"
            return
        yield "for v in r:"
        if form:
            yield f"    v = {form}v)"
        yield f"    if {f'v in {known}' if known else 'v is not None'}: d.{name}.append(v)"

    def compile(self, number: int) -> tuple[Project, str]:
        """The function, and its text for whoever debugs it."""
        lines = list(self._lines)
        for oneof, members in self._oneofs.items():
            lines += [f"k = s.WhichOneof({oneof!r})", *members]
        text = "\n    ".join([f"def project(s, d, n):  # {self._message.full_name}", *(lines or ["pass"])])
        names: dict[str, Any] = dict(self._names)
        # The text is made of field names of our own descriptors alone, each checked to be an identifier.
        exec(compile(text, f"<plan {number} of {self._message.full_name}>", "exec"), names)  # noqa: S102
        return names["project"], text
