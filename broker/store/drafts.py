"""What a write hands to the store: a version with its index rows, and the outcome under its idempotency key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexedValue:
    """A normalised value by which a record is found, with the class of its field and the mark sets that it is under."""

    kind: str
    value: str
    field_class: str
    portion: int
    container: int


@dataclass(frozen=True, slots=True)
class IndexedWord:
    """A normalised word of a text, likewise."""

    word: str
    field_class: str
    portion: int
    container: int


@dataclass(frozen=True, slots=True)
class IndexedBeside:
    """A value or word of a record whose originator tells others something beside its rows (`store.beside`).

    `term`: kind and normal form. `pointed`: a search for it may be answered with a pointer to the record.
    """

    term: str
    portion: int
    container: int
    pointed: bool


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be added. `version` 1 makes the record; every other one takes the place of the one before it.

    `references` are (source, reference); `kind` says what happened (`SUBMITTED`, ...).
    """

    record_id: str
    record_type: str
    originator: str
    version: int
    mark_set: int
    portion_mark_sets: tuple[int, ...]
    payload: bytes
    kind: str
    exchange_id: str
    etag: str
    time_us: int
    active: bool = True
    references: tuple[tuple[str, str], ...] = ()
    values: tuple[IndexedValue, ...] = ()
    words: tuple[IndexedWord, ...] = ()
    beside: tuple[IndexedBeside, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was answered under an idempotency key."""

    digest: bytes
    envelope: bytes
    record_id: str
    version: int
