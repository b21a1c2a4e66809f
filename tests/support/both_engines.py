"""Many questions to both engines at once, and what they answer differently.

OPA is asked in one evaluation over all questions and answers with a digest for each: over REST, or with the answers in
full, it would take several times as long. The embedded engine is asked one by one, as the broker asks it.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from broker.decide.embedded import EmbeddedEngine
from tests.support.opa import require_opa
from tests.support.questions import BUNDLE

QUERY = "[crypto.sha256(json.marshal(a)) | some q in data.questions; a := data.entente.{entry} with input as q]"
EVALUATION_S = 900


def opa_digests(entry: str, questions: Sequence[bytes]) -> list[str]:
    """SHA-256, hex, of each canonical answer of OPA. `entry`: `method` or `grant`."""
    with tempfile.TemporaryDirectory() as place:
        bundle, asked = Path(place) / "bundle", Path(place) / "questions.json"
        BUNDLE.write(bundle)
        asked.write_bytes(b'{"questions":[' + b",".join(questions) + b"]}")
        command = [str(require_opa()), "eval", "--bundle", str(bundle), "--data", str(asked), "--format", "raw"]
        done = subprocess.run(
            [*command, QUERY.replace("{entry}", entry)], check=True, capture_output=True, timeout=EVALUATION_S
        )
    digests: list[str] = orjson.loads(done.stdout)
    return digests


async def embedded_digests(entry: str, questions: Sequence[bytes]) -> list[str]:
    """The same of the embedded engine."""
    engine = EmbeddedEngine(BUNDLE)
    await engine.start()
    ask = engine.grant if entry == "grant" else engine.method
    digests = [_digest((await ask(question)).document) for question in questions]
    await engine.close()
    return digests


async def answered_differently(entry: str, questions: Sequence[bytes]) -> list[bytes]:
    """The questions on which the engines differ, or that one of them did not answer."""
    pairs = zip(questions, await embedded_digests(entry, questions), opa_digests(entry, questions), strict=True)
    return [question for question, one, other in pairs if one != other]


def _digest(document: object) -> str:
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
