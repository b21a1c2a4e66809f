"""One STIX object: typed access to its properties.

Guarantees: what is not of the expected type is an `ObjectError` that names the property; nothing is coerced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


class ObjectError(Exception):
    """This object cannot be imported; the message says why. The others can."""


@dataclass(frozen=True, slots=True)
class StixObject:
    """A checked id and type, and the object as it was read."""

    id: str
    type: str
    content: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A string, or empty where it is absent. Raises ObjectError."""
        value = self.content.get(name, "")
        if not isinstance(value, str):
            raise ObjectError(f"{name} is not a string")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, or empty. Raises ObjectError."""
        value = self.content.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ObjectError(f"{name} is not a list of strings")
        return tuple(value)

    def tables(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """A list of objects, or empty. Raises ObjectError."""
        value = self.content.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise ObjectError(f"{name} is not a list of objects")
        return tuple(value)

    def flag(self, name: str) -> bool:
        """A boolean, or False where it is absent. Raises ObjectError."""
        value = self.content.get(name, False)
        if not isinstance(value, bool):
            raise ObjectError(f"{name} is neither true nor false")
        return value

    @property
    def name(self) -> str:
        """For lists and messages: the name, if it has one."""
        value = self.content.get("name")
        return value if isinstance(value, str) else ""

    @property
    def modified(self) -> str:
        """The version's timestamp as it was written. Raises ObjectError where it is missing or is not one."""
        value = self.text("modified")
        if not value:
            raise ObjectError("modified is missing")
        moment(value, "modified")
        return value

    @property
    def revoked(self) -> bool:
        """Whether its maker has withdrawn it."""
        return self.flag("revoked")

    @property
    def deprecated(self) -> bool:
        """ATT&CK's flag for what is no longer kept up."""
        return self.flag("x_mitre_deprecated")


def moment(text: str, name: str) -> datetime:
    """A STIX timestamp. Raises ObjectError."""
    if not _TIMESTAMP.fullmatch(text):
        raise ObjectError(f"{name} is not a STIX timestamp, such as 2024-04-11T00:31:21.576Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ObjectError(f"{name} is not a time: {error}") from error
