"""The canary harness itself: a finder that finds nothing would pass every other test."""

from __future__ import annotations

import base64
import json

import protovalidate
import pytest

from entente.report.v1 import report_pb2
from tests.support.canary import fill, leaks, set_paths

CANARIES = {"plain": ("q0123456789abc",), "odd": ('tab\tquote" é 12345',), "raw": (bytes(range(200, 216)),)}


def test_a_filled_report_is_valid_and_whole() -> None:
    for variant in range(2):
        protovalidate.validate(fill(report_pb2.Report, 1, variant=variant).message)


def test_canaries_are_unique_and_differ_by_seed() -> None:
    first, second = fill(report_pb2.Report, 1), fill(report_pb2.Report, 2)
    every = [canary for filled in (first, second) for found in filled.canaries.values() for canary in found]
    assert len(every) == len(set(every)) > 200
    assert leaks(first.message.SerializeToString(), first.canaries) == set(first.canaries)
    assert leaks(first.message.SerializeToString(), second.canaries) == set()


def test_every_path_is_filled() -> None:
    missing = set(fill(report_pb2.Report, 1).canaries) - set_paths(fill(report_pb2.Report, 1).message)
    assert missing == set()


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("path", CANARIES)
def test_a_canary_is_found_however_it_is_encoded(path: str, before: int) -> None:
    (canary,) = CANARIES[path]
    raw = canary.encode() if isinstance(canary, str) else canary
    around = b"x" * before + raw + b"yz"
    shown = [around, base64.b64encode(around), base64.urlsafe_b64encode(around)]
    shown += [around.hex().encode(), around.hex().upper().encode()]
    if isinstance(canary, str):
        shown += [json.dumps({"a": canary}).encode(), json.dumps({"a": canary}, ensure_ascii=False).encode()]
    for haystack in shown:
        assert leaks(b"--" + haystack + b"--", CANARIES) == {path}


def test_a_part_of_a_canary_is_not_a_leak() -> None:
    assert leaks(b"q0123456789ab q0123456789", CANARIES) == set()
