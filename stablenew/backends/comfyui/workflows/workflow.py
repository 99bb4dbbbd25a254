"""A workflow: the nodes of a graph, each with what stands in its inputs or is linked to them. Pure.

A workflow is never changed; with another value in an input it is another workflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import attrs

from stablenew._convert import frozen_mapping


class Link(NamedTuple):
    """Where a linked input gets its value from.

    Attributes:
        node: The id of a node.
        slot: Which of its outputs, from 0.
    """

    node: str
    slot: int


class InputName(NamedTuple):
    """One input of one node of a workflow.

    Attributes:
        node: The id of the node.
        name: What the node calls it.
    """

    node: str
    name: str

    def __str__(self) -> str:
        return f"{self.node}.{self.name}"


@attrs.frozen(kw_only=True)
class Node:
    """A node of a workflow.

    Attributes:
        kind: Its class: `KSampler`.
        title: What its author calls it; "" where a file does not say.
        inputs: By name: a value, or a link.
        pack: Where its class comes from, where the file says it.
    """

    kind: str
    title: str = ""
    pack: str = ""
    inputs: Mapping[str, object] = attrs.field(converter=frozen_mapping)

    @property
    def name(self) -> str:
        """What to call it, on one line: its title, or else its class."""
        return " ".join((self.title or self.kind).split())

    @property
    def links(self) -> Iterator[tuple[str, Link]]:
        """Its inputs that are linked."""
        return ((name, each) for name, each in self.inputs.items() if isinstance(each, Link))

    @property
    def literals(self) -> Iterator[tuple[str, object]]:
        """Its inputs in which a value stands."""
        return ((name, each) for name, each in self.inputs.items() if not isinstance(each, Link))


@attrs.frozen(kw_only=True)
class Workflow:
    """The nodes of a graph.

    Attributes:
        nodes: By id, in the order of the file.
        notes: What reading it took for granted, one line each.
    """

    nodes: Mapping[str, Node] = attrs.field(converter=frozen_mapping)
    notes: tuple[str, ...] = ()

    @cached_property
    def literals(self) -> tuple[tuple[InputName, object], ...]:
        """Every input in which a value stands."""
        return tuple(
            (InputName(node, name), value)
            for node, each in self.nodes.items()
            for name, value in each.literals
        )

    def value(self, of: InputName) -> object:
        """Return what stands in an input."""
        return self.nodes[of.node].inputs[of.name]

    def with_values(self, values: Mapping[InputName, object]) -> Workflow:
        """Return a workflow with other values in some inputs."""
        changed: dict[str, dict[str, object]] = {}
        for (node, name), value in values.items():
            changed.setdefault(node, dict(self.nodes[node].inputs))[name] = value
        nodes = {
            node: attrs.evolve(each, inputs=changed[node]) if node in changed else each
            for node, each in self.nodes.items()
        }
        return attrs.evolve(self, nodes=nodes)

    def behind(self, ends: Iterable[str]) -> set[str]:
        """Return the ids of some nodes and of all that they get something from."""
        found: set[str] = set()
        waiting = [end for end in ends if end in self.nodes]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += [
                    link.node for _, link in self.nodes[node].links if link.node in self.nodes
                ]
        return found

    def ending_in(self, output: str) -> Workflow:
        """Return the part of it that one output needs, so that a server makes nothing else."""
        kept = self.behind([output])
        nodes = {node: each for node, each in self.nodes.items() if node in kept}
        return attrs.evolve(self, nodes=nodes)

    def as_prompt(self) -> dict[str, dict[str, object]]:
        """Return it as `POST /prompt` takes it, and as a file in API format has it."""
        return {
            node: {
                "class_type": each.kind,
                "inputs": {
                    name: list(value) if isinstance(value, Link) else value
                    for name, value in each.inputs.items()
                },
                **({"_meta": {"title": each.title}} if each.title else {}),
            }
            for node, each in self.nodes.items()
        }
