"""Puts other texts in the place of modules, where they are imported."""

from __future__ import annotations

import importlib.abc
import importlib.util
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives these texts, by path from the repository's root, for these modules. Goes first in `sys.meta_path`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._by_module = {path.removesuffix(".py").replace("/", "."): path for path in texts}
        self._texts = texts

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        found = self._by_module.get(name)
        return (found and importlib.util.spec_from_loader(name, self, origin=str(ROOT / found))) or None

    def exec_module(self, module: ModuleType) -> None:
        path = self._by_module[module.__name__]
        module.__file__ = str(ROOT / path)
        exec(compile(self._texts[path], module.__file__, "exec"), module.__dict__)
