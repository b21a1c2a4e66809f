"""Canaries: a message with an unmistakable value in every field, and a finder for those that got out.

`fill` walks the descriptors, so that a new field has its canary from the day it is declared. A field whose values are
too few to be unmistakable (an enum, a month, a country) has none; `set_paths` says whether it is there at all.
"""

from __future__ import annotations

import base64
import json
import random
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from buf.validate import validate_pb2

Canaries = Mapping[str, tuple[str | bytes, ...]]

_LEAST_BYTES = 8
NUMBER_MARKER = b"\xca\xdb\xec\x7d"
# The same four bytes as a varint's first four groups of seven bits.
_VARINT_MARKER = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(b"\xca\xdb\xec\xfd"))
_FLOATS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)


@dataclass(frozen=True, slots=True)
class Filled:
    """A message with every field set, and its canaries by schema path without index."""

    message: Message
    canaries: Canaries


def fill(message_type: type[Message], seed: int = 0, *, variant: int = 0, marker: str = "") -> Filled:
    """Every field set: of a repeated message one element for each member of its oneof; of a single one the `variant`th.

    With a `marker` (hex digits) every text canary begins with it, and every number canary with `NUMBER_MARKER`, so that
    a `Finder` looks for thousands of them at once.

    Links join the first two entities, so that they are released; their ends are no canaries then.
    """
    filler = _Filler(random.Random(seed), variant, marker)
    message = message_type()
    filler.message(message, "", variant)
    for link in getattr(message, "links", ()):
        link.from_key, link.to_key = message.entities[0].key, message.entities[1].key
        for end in ("links.from_key", "links.to_key"):
            filler.canaries.pop(end, None)
    return Filled(message, {path: tuple(found) for path, found in filler.canaries.items()})


class _Filler:
    def __init__(self, chance: random.Random, variant: int, marker: str) -> None:
        self._chance = chance
        self._variant = variant
        self._marker = marker
        self.canaries: dict[str, list[str | bytes]] = {}

    def message(self, message: Message, prefix: str, variant: int) -> None:
        for field in message.DESCRIPTOR.fields:
            members = _members(field)
            if members and members[variant % len(members)] is not field:
                continue
            self._field(message, field, prefix + field.name)

    def _field(self, message: Message, field: FieldDescriptor, path: str) -> None:
        held = field.message_type
        if held is None and field.is_repeated:
            getattr(message, field.name).append(self._scalar(field, path))
        elif held is None:
            setattr(message, field.name, self._scalar(field, path))
        elif held.full_name == "google.protobuf.Timestamp":
            getattr(message, field.name).FromSeconds(self._chance.randrange(10**8, 4 * 10**9))
        elif field.is_repeated:
            for variant in range(_variants(held)):
                self.message(getattr(message, field.name).add(), f"{path}.", variant)
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
            self.message(inner, f"{path}.", self._variant)

    def _scalar(self, field: FieldDescriptor, path: str) -> object:
        if field.enum_type is not None:
            return field.enum_type.values[-1].number
        if field.type == FieldDescriptor.TYPE_BOOL:
            return True
        value = self._number(field) if field.type not in _TEXTS else self._text(field)
        if any(len(needle) >= _LEAST_BYTES for needle in plain(value)):
            self.canaries.setdefault(path, []).extend(plain(value))
        return value

    def _number(self, field: FieldDescriptor) -> int | float:
        rules = _constraints(field)
        if field.type in _FLOATS:
            bound = rules.double.lte or 1000.0
            value = round(self._chance.uniform(-bound, bound), 7)
            packed = struct.pack("<d", value)
            return float(struct.unpack("<d", NUMBER_MARKER + packed[4:])[0]) if self._marker else value
        if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32):
            value = self._chance.randint(max(1, rules.int32.gte), min(rules.int32.lte or 2**31 - 1, 28 * 2**26))
            # A full decade would be its own coarser form.
            return value - 1 if value % 10 == 0 else value
        value = self._chance.randrange(2**49, 2**53)
        return value >> 28 << 28 | _VARINT_MARKER if self._marker else value

    def _text(self, field: FieldDescriptor) -> str | bytes:
        token = f"{self._marker}{self._chance.getrandbits(128):032x}"[:32]
        if field.type == FieldDescriptor.TYPE_BYTES:
            return token.encode()
        rules = _constraints(field)
        text = rules.repeated.items.string if field.is_repeated else rules.string
        letters = "".join(self._chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3))
        # A decimal is found by its fraction, whatever stands before it.
        amount = f"{self._chance.randrange(1000, 10**9)}.{self._chance.randrange(10 ** (_PLACES - 1), 10**_PLACES)}"
        codes = (letters[:2], letters, f"{letters[:2]}-{letters[2]}", amount, token * 2, token.translate(_TO_LETTERS))
        for candidate in (f"q{token[:15]}", token, f"{token[:12]}.example/{token[12:24]}", *codes):
            if re.search(text.pattern, candidate) and len(candidate) <= (text.max_len or 10_000):
                return candidate
        raise AssertionError(f"no canary fits {field.full_name}: teach tests/support/canary.py its pattern")


# Of a decimal in text, after its point.
_PLACES = 8
_TO_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def _constraints(field: FieldDescriptor) -> validate_pb2.FieldRules:
    return field.GetOptions().Extensions[validate_pb2.field]


def _members(field: FieldDescriptor) -> list[FieldDescriptor]:
    """The members of the field's oneof when it has more than itself."""
    oneof = field.containing_oneof
    return list(oneof.fields) if oneof is not None and len(oneof.fields) > 1 else []


def _variants(message: Descriptor) -> int:
    return max([2, *(len(oneof.fields) for oneof in message.oneofs)])


def plain(value: object) -> tuple[str | bytes, ...]:
    """The forms in which a value lies in protobuf and in text."""
    if isinstance(value, str | bytes):
        return (value,)
    if isinstance(value, float):
        return (repr(value), struct.pack("<d", value))
    assert isinstance(value, int)
    parts, rest = bytearray(), value
    while rest > 0x7F:
        parts.append(rest & 0x7F | 0x80)
        rest >>= 7
    return (str(value), bytes([*parts, rest]))


def leaks(haystack: bytes, canaries: Canaries) -> set[str]:
    """Paths of which a canary lies in these bytes: raw, in hex, in base64 at any alignment, or escaped for JSON."""
    folded = haystack.lower()
    return {path for path, found in canaries.items() for canary in found if _within(haystack, folded, canary)}


def _within(haystack: bytes, folded: bytes, canary: str | bytes) -> bool:
    raw = canary.encode() if isinstance(canary, str) else canary
    if len(raw) < _LEAST_BYTES:
        return False
    return any(needle in haystack for needle in _encodings(raw)) or raw.hex().encode() in folded


def _encodings(raw: bytes) -> Iterable[bytes]:
    yield raw
    for shift in range(3):
        # Of the encoded groups of three bytes those that hold the canary alone, whatever precedes and follows it.
        encoded = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : (shift + len(raw)) // 3 * 4]
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))
    text = raw.decode("utf-8", "ignore")
    if text:
        yield json.dumps(text)[1:-1].encode()
        yield json.dumps(text, ensure_ascii=False)[1:-1].encode()


class Finder:
    """Finds any of thousands of canaries in bytes, in every encoding that `leaks` knows. Each has a number.

    They must share few beginnings (`fill(marker=...)`): bytes are searched for those, and only then compared.
    `ids` (32 hex digits) have beginnings of their own; they are found as they are alone.
    """

    def __init__(self, canaries: Mapping[str | bytes, int], ids: Mapping[str, int] | None = None) -> None:
        self._words = {one.encode(): number for one, number in (ids or {}).items()}
        for form, number in canaries.items():
            if isinstance(form, str) and _NUMBER.fullmatch(form):
                self._words[b"." + form.partition(".")[2].encode() if "." in form else form.encode()] = number
        # Letters of text and of hex may have changed their case.
        folded: list[tuple[bytes, int]] = []
        exact: list[tuple[bytes, int]] = []
        for form, number in canaries.items():
            if len(form) < _LEAST_BYTES or (isinstance(form, str) and _NUMBER.fullmatch(form)):
                continue
            raw = form.encode() if isinstance(form, str) else form
            folded.append((raw.hex().encode(), number))
            (folded if isinstance(form, str) else exact).append((raw, number))
            exact += [(needle, number) for needle in _in_base64(raw)]
        self._folded, self._exact = _heads(folded), _heads(exact)

    def find(self, haystack: bytes) -> set[int]:
        """The numbers of the canaries in these bytes."""
        found = {self._words[word] for word in _words(haystack) if word in self._words}
        for heads, text in ((self._folded, haystack.lower()), (self._exact, haystack)):
            for head, (size, known) in heads.items():
                at = text.find(head)
                while at >= 0:
                    number = known.get(text[at : at + size])
                    if number is not None:
                        found.add(number)
                    at = text.find(head, at + 1)
        return found


_HEAD, _MOST_HEADS = 4, 32
# Beginning -> (length of the shortest that begins so, number by that much of it).
_Heads = dict[bytes, tuple[int, dict[bytes, int]]]


def _heads(needles: Iterable[tuple[bytes, int]]) -> _Heads:
    grouped: dict[bytes, list[tuple[bytes, int]]] = {}
    for needle, number in needles:
        grouped.setdefault(needle[:_HEAD], []).append((needle, number))
    assert len(grouped) < _MOST_HEADS, "too many beginnings: fill with one marker"
    found: _Heads = {}
    for head, group in grouped.items():
        size = min(len(needle) for needle, _ in group)
        found[head] = size, {needle[:size]: number for needle, number in group}
        assert len(found[head][1]) == len(group), "two canaries begin alike"
    return found


_NUMBER = re.compile(r"-?[0-9.]+(e-[0-9]+)?")
_FRACTION = re.compile(rb"\.[0-9]{4,}(?:e-[0-9]+)?")
_RUN = re.compile(rb"[0-9a-f]{15,}")


def _words(haystack: bytes) -> Iterable[bytes]:
    """Fractions, whole numbers, and ids wherever they begin: what stands beside one may be a digit too."""
    for fraction in _FRACTION.findall(haystack):
        yield fraction
        yield fraction[: 1 + _PLACES]
    for run in _RUN.findall(haystack):
        yield run
        for start in range(len(run) - 31):
            yield run[start : start + 32]


def _in_base64(raw: bytes) -> Iterable[bytes]:
    """The value in base64 as far as the characters depend on it alone, at each alignment."""
    for shift in range(3):
        known = slice(-(-8 * shift // 6), 8 * (shift + len(raw)) // 6)
        encoded = base64.b64encode(b"\0" * shift + raw)[known]
        yield from {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}


def under(path: str, canaries: Canaries) -> Canaries:
    """The canaries of a schema path and of what lies in it."""
    return {name: found for name, found in canaries.items() if name == path or name.startswith(f"{path}.")}


def set_paths(message: Message) -> set[str]:
    """Schema paths without index of everything that is set, frames too."""
    found: set[str] = set()
    for field, value in message.ListFields():
        found.add(field.name)
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                found |= {f"{field.name}.{inner}" for inner in set_paths(one)}
    return found


def with_unknown_fields(message: Message, marker: bytes) -> bytes:
    """The message's bytes with an unknown field that holds `marker` in it and in every message inside, at any depth."""
    parts = bytearray()
    for field, value in message.ListFields():
        if field.message_type is None:
            alone = GetMessageClass(message.DESCRIPTOR)()
            if field.is_repeated:
                getattr(alone, field.name).extend(value)
            else:
                setattr(alone, field.name, value)
            parts += alone.SerializeToString()
            continue
        for one in value if field.is_repeated else [value]:
            parts += _delimited(field.number, with_unknown_fields(one, marker))
    return bytes(parts) + _delimited(1999, marker)


def _delimited(number: int, body: bytes) -> bytes:
    out = bytearray()
    for value in (number << 3 | 2, len(body)):
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out) + body
