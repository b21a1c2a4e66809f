"""Index rows of a report: the values and words by which it is found, each under the class and marks of its field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from google.protobuf.message import Message

from broker.domain import normal
from broker.domain.marks import MarkSet, adds_nothing, listens, points
from broker.handle.report.access import field_class
from broker.handle.report.translate import Portion, portions
from broker.store.beside import WORD, term
from broker.store.drafts import IndexedBeside, IndexedValue, IndexedWord
from entente.common.v1 import entity_pb2
from entente.report.v1 import report_pb2, report_service_pb2

OPERATION = "OPERATION"


class Kind(NamedTuple):
    """A kind of value: how it is normalised, and the class of the fields that hold it."""

    name: str
    normalise: Callable[[str], str]
    field_class: str


def _class_of(message: type[Message], field: str) -> str:
    return field_class(message.DESCRIPTOR.fields_by_name[field])


_NAME = Kind("NAME", normal.name, _class_of(entity_pb2.Person, "name"))
_PHONE = Kind("PHONE", normal.phone, _class_of(entity_pb2.Phone, "number"))
_PLATE = Kind("PLATE", normal.plate, _class_of(entity_pb2.Vehicle, "plate"))
_ACCOUNT = Kind("ACCOUNT", normal.account, _class_of(entity_pb2.Account, "identifier"))
OPERATIONS = Kind(OPERATION, normal.name, _class_of(report_pb2.Report, "operation"))

# EntityQuery.kind -> how to look for it.
KINDS = {
    report_service_pb2.ENTITY_KIND_NAME: _NAME,
    report_service_pb2.ENTITY_KIND_PHONE: _PHONE,
    report_service_pb2.ENTITY_KIND_PLATE: _PLATE,
    report_service_pb2.ENTITY_KIND_ACCOUNT: _ACCOUNT,
}

_TITLE = _class_of(report_pb2.Report, "title")
_TEAR_LINE = _class_of(report_pb2.Report, "tear_line")
_INFORMATION = _class_of(report_pb2.ReportLine, "information")
WORD_CLASSES = (_TITLE, _TEAR_LINE, _INFORMATION)


def values(report: report_pb2.Report, container: int, of_portions: tuple[int, ...]) -> Iterator[IndexedValue]:
    """The report's values. `of_portions` as in StoredItem."""
    if operation := OPERATIONS.normalise(report.operation):
        yield IndexedValue(OPERATION, operation, OPERATIONS.field_class, container, container)
    for (_, _, portion), marks in zip(portions(report), of_portions, strict=True):
        for kind, text in _texts(portion):
            if value := kind.normalise(text):
                yield IndexedValue(kind.name, value, kind.field_class, marks, container)


def _texts(portion: Portion) -> Iterable[tuple[Kind, str]]:
    if not isinstance(portion, entity_pb2.Entity):
        return ()
    kind = portion.WhichOneof("kind")
    if kind == "person":
        return [(_NAME, text) for text in (portion.person.name, *portion.person.aliases)]
    if kind == "organisation":
        return [(_NAME, text) for text in (portion.organisation.name, *portion.organisation.aliases)]
    if kind == "vehicle":
        return [(_PLATE, portion.vehicle.plate)]
    if kind == "phone":
        return [(_PHONE, portion.phone.number)]
    if kind == "account":
        return [(_ACCOUNT, portion.account.identifier)]
    return ()


def words(report: report_pb2.Report, container: int, of_portions: tuple[int, ...]) -> Iterator[IndexedWord]:
    """The words of title, tear-line and lines."""
    for text, kind in ((report.title, _TITLE), (report.tear_line, _TEAR_LINE)):
        for word in normal.words(text):
            yield IndexedWord(word, kind, container, container)
    for (_, _, portion), marks in zip(portions(report), of_portions, strict=True):
        if isinstance(portion, report_pb2.ReportLine):
            for word in normal.words(portion.information):
                yield IndexedWord(word, _INFORMATION, marks, container)


def beside(
    of_values: Iterable[IndexedValue], of_words: Iterable[IndexedWord], marks: Mapping[int, MarkSet], container: int
) -> Iterator[IndexedBeside]:
    """What is told of these values and words beside the report's rows: nothing, unless its originator chose so.

    `marks`: the mark sets of the report and its portions. Where one of them listens the whole report is listed, so that
    a search whose conditions hold in different portions is heard.
    """
    silent, pointing = any(map(listens, marks.values())), points(marks[container])
    for one in of_values:
        pointed = pointing and one.kind != OPERATION and adds_nothing(marks[container], marks[one.portion])
        if silent or pointed:
            yield IndexedBeside(term(one.kind, one.value), one.portion, container, pointed)
    if silent:
        for word in of_words:
            yield IndexedBeside(term(WORD, word.word), word.portion, container, False)
