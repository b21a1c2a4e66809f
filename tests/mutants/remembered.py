"""The naive decision, remembered: no fault of a policy changes it, and most of the time of the tests goes into it."""

from __future__ import annotations

import types
from typing import Any, ClassVar

import regorus

from tests.support import naive


class Remembering:
    """Stands for a `regorus.Engine` of the naive decision. Children inherit what their parent was told."""

    told: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self._steps: list[tuple[str, str]] = []
        self._engine: Any = None
        self._asked = ""

    def add_policy_from_file(self, path: str) -> None:
        self._steps.append(("add_policy_from_file", path))

    def add_data_json(self, text: str) -> None:
        self._steps.append(("add_data_json", text))

    def set_input_json(self, text: str) -> None:
        self._asked = text

    def eval_rule_as_json(self, rule: str) -> str:
        if self._asked not in self.told:
            self._started().set_input_json(self._asked)
            self.told[self._asked] = self._engine.eval_rule_as_json(rule)
        return self.told[self._asked]

    def _started(self) -> Any:
        if self._engine is None:
            self._engine = regorus.Engine()
            for step, given in self._steps:
                getattr(self._engine, step)(given)
        return self._engine


def remember() -> None:
    """From now on, ask each thing once."""
    naive.regorus = types.SimpleNamespace(Engine=Remembering)  # type: ignore[attr-defined]


def forget() -> None:
    """The naive decision reads the same data as the policies: where those have a fault, all is asked anew."""
    Remembering.told.clear()
