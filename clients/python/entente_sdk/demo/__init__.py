"""`entente demo`: five parties, one broker, in one command.

MUSTs:
1. Every step asserts what it tells: a step that goes otherwise ends the demo with words and a status other than 0.
2. Every call goes through the SDK and over mutual TLS to a broker in a process of its own; nothing is pretended.
3. The broker that was started is stopped, whatever happens, and no other process is touched.

| module | what it holds |
|---|---|
| `world` | the folder, the development network, the broker's process |
| `data` | the invented reports |
| `cast` | the five parties' clients, and their watching |
| `story` | the steps, from street to strategic and abroad |
| `oversight` | who saw it: the auditor's view, the ledger verified, and a changed copy caught |
| `fields`, `table` | who saw what of which field, and why not |
| `screen`, `checks`, `words`, `tamper` | narration, assertions, the rules' texts, the flipped byte |
"""

from __future__ import annotations
