"""Defects that the release stage finds. Neither ever reaches a caller as it is: both answer as INTERNAL."""

from __future__ import annotations


class SchemaError(Exception):
    """A message type that cannot be released field by field: the schema must change. Names the field."""


class ReleaseError(Exception):
    """An answer that must not leave: a handler's or a policy's defect. Nothing of the answer was released.

    Its text names record ids and types, never a value of a record.
    """
