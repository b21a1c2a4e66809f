"""A simulation as the wire tells it. Pure."""

from __future__ import annotations

import hashlib

from broker.domain.simulated import CallShift, Shift, Simulated
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.policy.v1 import simulation_service_pb2 as wire


def simulation_message(made: Simulated) -> wire.Simulation:
    """All of it but its digest."""
    return wire.Simulation(
        present_revision=made.present,
        candidate_revision=made.candidate,
        exchanges=made.exchanges,
        replayed=made.replayed,
        not_reproduced=made.not_reproduced,
        not_compared=made.not_compared,
        supposed=made.supposed,
        records=made.records,
        shortened=made.shortened or None,
        shifts=map(_shift, made.shifts),
        calls=map(_call, made.calls),
    )


def digest(made: wire.Simulation) -> str:
    """SHA-256 (hex) of what would change. How much was looked at is left out: each simulation is on record itself, and
    would make the next one's digest another."""
    what = wire.Simulation(
        present_revision=made.present_revision, candidate_revision=made.candidate_revision, shifts=made.shifts
    )
    for call in made.calls:
        told = what.calls.add()
        told.CopyFrom(call)
        told.ClearField("calls")
    what.calls.sort(key=lambda one: one.SerializeToString(deterministic=True))
    return hashlib.sha256(what.SerializeToString(deterministic=True)).hexdigest()


def _shift(one: Shift) -> wire.AudienceShift:
    return wire.AudienceShift(
        agency=one.agency,
        purpose=_purpose(one.purpose),
        field_class=access_pb2.FieldClass.Value(f"FIELD_CLASS_{one.field_class}") if one.field_class else None,
        now=wire.ReleaseForm.Value(f"RELEASE_FORM_{one.now}"),
        then=wire.ReleaseForm.Value(f"RELEASE_FORM_{one.then}"),
        records=one.records,
        record_ids=one.record_ids,
        roles=one.roles,
        supposed=one.supposed or None,
    )


def _call(one: CallShift) -> wire.CallShift:
    return wire.CallShift(
        method=one.method.removeprefix("/"),
        agency=one.agency,
        purpose=_purpose(one.purpose),
        roles=one.roles,
        allowed_then=one.allowed_then,
        rule=one.rule,
        calls=one.calls,
    )


def _purpose(name: str) -> exchange_pb2.Purpose.ValueType:
    return exchange_pb2.Purpose.Value(f"PURPOSE_{name}")
