"""Real networks as reports: persons and links, with protected attributes that an asker may not see.

A network of `../shared/data/criminal-networks` becomes one report: a person for each node, a link for each edge.
Protected is what the data sets hold of a person beyond that, birthplace and convictions above all:

- *birthplace* stands in fields of the class BIOGRAPHIC of the person: nationality and description;
- *convictions* are portions of their own, source-protected and SECRET: for each an event and a link to the person, and
  a line that says how many there are. So their number is the number of hidden portions.

Where a data set holds ethnicity or country in place of a birthplace, that is what is protected. Networks without these
attributes get invented ones, drawn from the names of their nodes.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from entente.common.v1 import entity_pb2, grading_pb2, marks_pb2
from entente.report.v1 import report_pb2

# Birthplaces are numbers in the data; the countries are invented for them.
COUNTRIES = ("GB", "NL", "DE", "ES", "FR", "IT")
GRADING = grading_pb2.Grading(
    grading_3x5x2=grading_pb2.Grading3x5x2(
        source=grading_pb2.SOURCE_EVALUATION_RELIABLE, assessment=grading_pb2.ASSESSMENT_KNOWN_DIRECTLY
    )
)
MOST_ENTITIES, MOST_LINKS = 500, 1000


@dataclass(frozen=True)
class Nominal:
    """A node and what is protected of it."""

    name: str
    birthplace: int
    convictions: int


@dataclass(frozen=True)
class Network:
    """A network: its nominals in order, and the edges between their names."""

    title: str
    nominals: tuple[Nominal, ...]
    edges: tuple[tuple[str, str], ...]

    @property
    def fits(self) -> bool:
        """Whether it is within what one report may hold."""
        convictions = sum(one.convictions for one in self.nominals)
        return (
            len(self.nominals) + convictions <= MOST_ENTITIES
            and len(self.edges) + convictions <= MOST_LINKS
            and len(self.nominals) <= 200
        )

    def with_other(self, attribute: str, chosen: int) -> Network:
        """The same, but for one value of one nominal."""
        at = chosen % len(self.nominals)
        one = self.nominals[at]
        value = getattr(one, attribute)
        other = replace(one, **{attribute: (value + 1) % len(COUNTRIES) if attribute == "birthplace" else value + 1})
        return replace(self, nominals=(*self.nominals[:at], other, *self.nominals[at + 1 :]))

    def alone(self, at: int) -> Network:
        """One nominal by itself."""
        return replace(self, title=f"{self.title}-{self.nominals[at].name}", nominals=(self.nominals[at],), edges=())


def read(folder: Path) -> list[Network]:
    """Every network of the folder."""
    return [_network(nodes) for nodes in sorted(folder.glob("*/*_nodes.csv"))]


def _network(nodes: Path) -> Network:
    title = nodes.name.removesuffix("_nodes.csv")
    with nodes.open(encoding="utf-8", newline="") as file:
        nominals = tuple(_nominal(title, row) for row in csv.DictReader(file))
    with nodes.with_name(f"{title}_edges.csv").open(encoding="utf-8", newline="") as file:
        edges = tuple((row["source"], row["target"]) for row in csv.DictReader(file))
    return Network(title, nominals, edges)


def _nominal(title: str, row: Mapping[str, str]) -> Nominal:
    drawn = zlib.crc32(f"{title} {row['id']}".encode())
    birthplace = row.get("Birthplace") or row.get("Ethnicity") or row.get("country") or drawn % len(COUNTRIES)
    return Nominal(row["id"], int(birthplace) % len(COUNTRIES), int(row.get("Convictions") or drawn // 7 % 3))


def report(network: Network) -> report_pb2.Report:
    """A network as a report that every agency on the network may find; what is protected is not for all of them."""
    made = report_pb2.Report(title=f"network {network.title.replace('_', ' ')}")
    made.header.marks.classification = marks_pb2.CLASSIFICATION_OFFICIAL
    made.header.marks.handling_code = marks_pb2.HANDLING_CODE_P
    made.header.marks.tlp = marks_pb2.TLP_GREEN
    keys = {one.name: f"n{number}" for number, one in enumerate(network.nominals)}
    for one in network.nominals:
        made.entities.append(
            entity_pb2.Entity(
                key=keys[one.name],
                person=entity_pb2.Person(
                    name=f"Nominal {one.name} {network.title}",
                    nationalities=[COUNTRIES[one.birthplace]],
                    description=f"born in {'x' * one.birthplace} {COUNTRIES[one.birthplace]}",
                ),
            )
        )
    for number, (source, target) in enumerate(network.edges):
        made.links.append(_link(f"e{number}", keys[source], keys[target], entity_pb2.LINK_TYPE_ASSOCIATES_WITH))
    for one in network.nominals:
        _convict(made, one, keys[one.name])
    return made


def _convict(made: report_pb2.Report, one: Nominal, key: str) -> None:
    """The convictions of a nominal, each hidden portions."""
    said = f"{one.name} stands convicted {one.convictions} times"
    line = made.lines.add(key=f"c{key}", information=said, grading=GRADING)
    _hide(line.marks)
    for number in range(one.convictions):
        event = made.entities.add(key=f"c{key}-{number}")
        event.event.kind = "conviction"
        _hide(event.marks)
        link = made.links.add()
        link.CopyFrom(_link(event.key, key, event.key, entity_pb2.LINK_TYPE_PARTICIPATED_IN))
        _hide(link.marks)


def _link(key: str, source: str, target: str, kind: entity_pb2.LinkType.ValueType) -> entity_pb2.Link:
    return entity_pb2.Link(key=key, from_key=source, to_key=target, type=kind)


def _hide(marks: marks_pb2.Marks) -> None:
    """From other agencies because it could point to a source, and from colleagues without the clearance."""
    marks.classification = marks_pb2.CLASSIFICATION_SECRET
    marks.sanitisation = marks_pb2.SANITISATION_SOURCE_PROTECTED
