"""Strings from elsewhere, made safe for a terminal.

MUST: no control character, escape sequence, bidirectional override or invisible format character of a record, an error
or a name reaches a terminal as itself; each is shown as its escape, so that it can be seen. JSON and YAML keep the
exact string: there the escape is the format's own.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import yaml

# Controls (C0, C1), format characters (bidi, zero width, tags), line and paragraph separators, surrogates, private use
# and unassigned code points: what a terminal may obey, reorder or hide.
_UNSAFE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})
_ASCII = re.compile(r"[\x20-\x7e]*", re.ASCII)


def is_unsafe(letter: str) -> bool:
    """Whether a terminal may do something else with it than show it."""
    return unicodedata.category(letter) in _UNSAFE


def escape(letter: str) -> str:
    """`\\x1b`, `\\u202e`, `\\U000e0041`."""
    code = ord(letter)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: str, *, lines: bool = False) -> str:
    """The text with every unsafe character escaped; with `lines`, line feeds stay (for a table's cell)."""
    if _ASCII.fullmatch(text):
        return text
    return "".join(letter if (lines and letter == "\n") or not is_unsafe(letter) else escape(letter) for letter in text)


def to_json(document: Any, *, indent: int | None = 2) -> str:
    """JSON that reads back to the same strings and is safe to print (RFC 8259, section 7: \\u escapes)."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return "".join(_json_escape(letter) if letter != "\n" and is_unsafe(letter) else letter for letter in text)


def to_yaml(document: Any) -> str:
    """YAML that reads back to the same strings and is safe to print."""
    text = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)
    # Only quoted scalars hold such characters (see _represent), and there these escapes are YAML's own.
    return "".join(escape(letter) if letter != "\n" and is_unsafe(letter) else letter for letter in text)


def _json_escape(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class _Dumper(yaml.SafeDumper):
    """Quotes what must be escaped, and writes several lines as a block."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(is_unsafe(letter) and letter != "\n" for letter in text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)
