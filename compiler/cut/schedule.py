"""Graph x Partition -> the programme of one tile in a training step: phases of computation, and messages between them.

A phase is all that a tile can compute without waiting for others. A decoder reads only its own tile's units, so it has a
phase of its own, which overlaps with the halo sent before it:

    phase 1   V1.filter                          sends its halo to the tiles that read it
    phase 2   V1.learn.decode                    sends partial sums        (while the halo of phase 1 is on its way)
    phase 3   V1.pool V1.norm V2.filter          waits for 1, sends its halo
    phase 4   V2.learn.decode                    sends partial sums        (while that of 3 is on its way)
    phase 5   V2.pool V2.norm, all objectives    waits for 2, 3 and 4

The backward pass runs through the phases in reverse, and the gradients of what a tile received are sent back. All that a
phase sends to one tile is one message. Shared weights are broadcast before the first phase, and their gradients reduced
after the last.

Regions are relative to the tile's region of a layer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.shapes import Place, Region, Size, Strip
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import Objective

from .deal import CutGraph, dealt
from .messages import all_messages, messages_of, sent_layers
from .partition import Cuts, Message, Partition, Piece, made
from .weights import NO_BORDER, Border, border, owned_places, weight_messages, weight_messages_of_tiles, works


@dataclass(frozen=True, slots=True)
class Held:
    """A tile's values of a layer, computed and received; partial sums are added up.

    `own`: those that it computed, `taken` from all that it computed of the layer.
    """

    layer: str
    size: Size
    own: Region
    taken: Region
    received: tuple[tuple[int, Region], ...]


@dataclass(frozen=True, slots=True)
class Share:
    """One layer's share of a tile: an op of the same kind, on parts of what the tile holds.

    A decoder reads only what its tile computed, not the halo. `first` is the set of shared weights that the first position
    uses.
    """

    layer: str
    op: Op
    reads: tuple[tuple[str, Region | None], ...]  # None: all
    first: Size


@dataclass(frozen=True, slots=True)
class TermShare:
    """An objective's share of a tile: the regions of its operands that the tile owns, cut from those it holds.

    A decoder's units learn from the error wherever they write, so for their gradient more is `compared` than is
    counted: regions of both operands, by the number of the operand that learns. `first`: the first own row of each
    operand, in the whole layer. Of a term that reads parameters, `weights` are the names of those of which the tile owns
    any; of one that compares units with their neighbours, `border` are the tiles that own those beyond this tile's, and
    `pairs` is the number of pairs in the whole layer.
    """

    objective: str
    owned: tuple[Region | None, ...]  # None: all
    first: tuple[int, ...]
    compared: tuple[tuple[int, tuple[Region, ...]], ...] = ()
    weights: tuple[str, ...] = ()
    border: Border = NO_BORDER
    pairs: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """A tile's computation between two waits.

    `held`: layers that its shares read, assembled; `enters`: layers that the tile computed in earlier phases, or has from
    the data; `leaves`: those that later ones need, or others. What follows it: `sends`, parts of what it computed by the
    tile that gets them, and `receives`, what others send of the same layers.
    """

    shares: tuple[Share, ...]
    terms: tuple[TermShare, ...]
    held: tuple[Held, ...]
    enters: tuple[str, ...]
    leaves: tuple[str, ...]
    sends: tuple[tuple[int, tuple[tuple[str, Region], ...]], ...]
    receives: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class HeldWeights:
    """A parameter on a tile: what it receives of it from the tiles that own it, all (None) or a strip."""

    name: str
    received: tuple[tuple[int, Strip | None], ...]


@dataclass(frozen=True)
class Programme:
    """One tile's part in a step: its phases, and the weights broadcast around them.

    `image` is the region of the input that it reads, `targets` those of the targets; `owned` are the parameters that it owns
    some of, with their places (None: all), `broadcasts` what it sends of them before the first phase, by receiver. `weights`
    and `broadcasts` are in the order of names. `made_in` has the phase of every layer, `returned` the layers whose gradients
    are sent back.
    """

    tile: int
    image: Region
    targets: tuple[tuple[str, Region], ...]
    owned: tuple[tuple[str, Place], ...]
    weights: tuple[HeldWeights, ...]
    broadcasts: tuple[tuple[int, tuple[tuple[str, Strip | None], ...]], ...]
    phases: tuple[Phase, ...]
    made_in: tuple[tuple[str, int], ...]
    returned: tuple[str, ...]


def schedule(graph: Graph, partition: Partition, tile: int) -> Programme:
    """Return the programme of a tile."""
    graph = dealt(graph, partition.tiles)
    numbers = _phase_numbers(graph, partition)
    return _Scheduler(graph, partition, tile, numbers).programme()


def whole_share(layer: Layer) -> Share:
    """Return all of a layer as a share."""
    return Share(layer.path, layer.op, tuple((path, None) for path in layer.reads), Size(0, 0))


def whole_term(graph: Graph, objective: Objective) -> TermShare:
    """Return all of an objective as a share."""
    count, one = len(objective.reads), Size(1, 1)
    layer = graph.layer(objective.reads[0])
    beyond = border(objective.term, layer, Cuts(dealt(graph, one), one), 0)
    weights = tuple(parameter.name for parameter in graph.weights_read(objective))
    pairs = objective.term.pairs(layer.sheet)
    return TermShare(objective.path, (None,) * count, (0,) * count, (), weights, beyond, pairs)


def _phase_numbers(graph: CutGraph, partition: Partition) -> dict[str, int]:
    """Return the phase in which each layer is computed, the same on all tiles, counted from 0."""
    sent = sent_layers(graph, partition)
    keys: dict[str, tuple[int, bool]] = {}
    for layer in graph.layers:
        scatters = layer.op.scatters
        operands = [graph.layer(path).path for path in layer.reads]
        exchanges = [keys[path][0] + (path in sent and not scatters) for path in operands]
        keys[layer.path] = (max(exchanges, default=0), scatters and layer.path in sent)
    order = {key: number for number, key in enumerate(sorted(set(keys.values())))}
    return {path: order[key] for path, key in keys.items()}


def message_counts(graph: Graph, partition: Partition) -> tuple[int, ...]:
    """Return the number of messages each tile sends in a step: at most one per phase, direction and receiver."""
    graph = dealt(graph, partition.tiles)
    numbers, before = _phase_numbers(graph, partition), -1
    messages = all_messages(graph, partition)
    sent = {(m.sender, m.receiver, numbers[m.layer], m.kind == "backward") for m in messages}
    for message in weight_messages(graph, partition):
        sent.add((message.sender, message.receiver, before, False))
        sent.add((message.receiver, message.sender, before, True))
    counts = Counter(sender for sender, *_ in sent)
    return tuple(counts[tile] for tile in range(partition.count))


@dataclass(frozen=True)
class _Scheduler:
    graph: CutGraph
    partition: Partition
    tile: int
    numbers: dict[str, int]

    def programme(self) -> Programme:
        last = max(self.numbers.values())
        waits = any(self.numbers[path] == last for path in sent_layers(self.graph, self.partition))
        phases = tuple(self._phase(number, last + waits) for number in range(last + waits + 1))
        owned = owned_places(self.graph, self.partition, self.tile)
        image = self.partition.piece(self.tile, self.graph.input.path).held
        targets = tuple((layer.path, self._piece(layer.path).held) for layer in self.graph.targets)
        made_in = tuple(self.numbers.items())
        returned = tuple(layer.path for layer in self.graph.layers if layer.path in self._returned)
        return Programme(
            self.tile,
            image,
            targets,
            tuple(owned.items()),
            self._weights(),
            self._broadcasts(),
            phases,
            made_in,
            returned,
        )

    # --- phases ---

    def _phase(self, number: int, last: int) -> Phase:
        layers = [
            layer
            for layer in self.graph.computed
            if self.numbers[layer.path] == number and self._works(layer)
        ]
        terms = self._terms() if number == last else ()
        decoders = [layer for layer in layers if layer.op.scatters]
        own = [self._path(layer.reads[0]) for layer in decoders]
        assembled = [self._path(path) for layer in layers if layer not in decoders for path in layer.reads]
        assembled += [path for term in terms for path in self._operands(term.objective)]
        made = [layer.path for layer in layers]
        return Phase(
            tuple(self._share(layer) for layer in layers),
            terms,
            tuple(self._held(path) for path in dict.fromkeys(assembled)),
            tuple(p for p in dict.fromkeys([*own, *assembled]) if p not in made and self._works_at(p)),
            tuple(path for path in made if self._outlives(path, number, last)),
            self._sends(number),
            self._receives(number),
        )

    def _share(self, layer: Layer) -> Share:
        pieces = [self._piece(path) for path in layer.reads]
        if layer.op.scatters:
            (units,) = pieces
            own = (units.layer, units.owned.within(units.computed))
            return Share(layer.path, layer.op.of_units(units.owned), (own,), layer.op.first_set(units.owned))
        region = self._made(layer)
        sizes = [self.graph.layer(piece.layer).sheet.size for piece in pieces]
        reads = tuple(
            (piece.layer, layer.op.needs_of(number, region).clip(size).within(piece.held))
            for number, (piece, size) in enumerate(zip(pieces, sizes, strict=True))
        )
        return Share(layer.path, layer.op.part(region), reads, layer.op.first_set(region))

    def _held(self, path: str) -> Held:
        piece = self._piece(path)
        received = tuple(
            (message.sender, message.region.within(piece.held))
            for message in self._forward.get(path, [])
            if message.receiver == self.tile
        )
        computed = self._made(self.graph.layer(path))
        own = computed.intersect(piece.held)
        return Held(path, piece.held.size, own.within(piece.held), own.within(computed), received)

    def _sends(self, number: int) -> tuple[tuple[int, tuple[tuple[str, Region], ...]], ...]:
        parts: dict[int, list[tuple[str, Region]]] = {}
        for message in self._messages_of(number):
            if message.sender == self.tile:
                own = self._made(self.graph.layer(message.layer))
                parts.setdefault(message.receiver, []).append((message.layer, message.region.within(own)))
        return tuple((receiver, tuple(parts[receiver])) for receiver in sorted(parts))

    def _receives(self, number: int) -> tuple[tuple[int, tuple[str, ...]], ...]:
        parts: dict[int, list[str]] = {}
        for message in self._messages_of(number):
            if message.receiver == self.tile:
                parts.setdefault(message.sender, []).append(message.layer)
        return tuple((sender, tuple(parts[sender])) for sender in sorted(parts))

    @cached_property
    def _messages(self) -> tuple[Message, ...]:
        return tuple(messages_of(self.graph, self.partition, self.tile))

    @cached_property
    def _forward(self) -> dict[str, list[Message]]:
        """The tile's messages of each layer, without backward ones."""
        messages: dict[str, list[Message]] = {}
        for message in self._messages:
            if message.kind != "backward":
                messages.setdefault(message.layer, []).append(message)
        return messages

    @cached_property
    def _returned(self) -> frozenset[str]:
        """The layers whose gradients are sent back to the tiles that sent their values."""
        return frozenset(message.layer for message in self._messages if message.kind == "backward")

    def _messages_of(self, number: int) -> list[Message]:
        """Return the messages sent after a phase."""
        return [m for path, found in self._forward.items() if self.numbers[path] == number for m in found]

    def _outlives(self, path: str, number: int, last: int) -> bool:
        """Whether anything reads a layer after the phase in which it is computed."""
        readers = [self.numbers[reader.path] for reader in self.graph.readers[path]]
        readers += [last for objective in self.graph.objectives if path in self._operands(objective.path)]
        return path in self._forward or max(readers, default=number) > number

    # --- objectives ---

    def _terms(self) -> tuple[TermShare, ...]:
        return tuple(term for o in self.graph.objectives for term in [self._term(o)] if term is not None)

    def _term(self, objective: Objective) -> TermShare | None:
        if objective.term.reads_weights:
            return self._weights_term(objective)
        pieces = [self._piece(path) for path in objective.reads]
        owned = tuple(piece.owned.within(piece.held) for piece in pieces)
        compared = tuple(self._compared(objective)) if objective.term.is_error else ()
        if not pieces[0].owned.area and not compared:
            return None
        first = tuple(piece.owned.rows.start for piece in pieces)
        return TermShare(objective.path, owned, first, compared)

    def _weights_term(self, objective: Objective) -> TermShare | None:
        owned = owned_places(self.graph, self.partition, self.tile)
        names = tuple(p.name for p in self.graph.weights_read(objective) if p.name in owned)
        if not names:
            return None
        layer, cuts = self.graph.layer(objective.reads[0]), Cuts(self.graph, self.partition.tiles)
        beyond, pairs = border(objective.term, layer, cuts, self.tile), objective.term.pairs(layer.sheet)
        return TermShare(objective.path, (), (), weights=names, border=beyond, pairs=pairs)

    def _compared(self, objective: Objective) -> list[tuple[int, tuple[Region, ...]]]:
        pieces = [self._piece(path) for path in objective.reads]
        compared = []
        for number, piece in enumerate(pieces):
            layer = self.graph.layer(piece.layer)
            if layer.op.scatters and self._works(layer) and layer.path not in self._returned:
                written = self._made(layer)
                compared.append((number, tuple(written.within(other.held) for other in pieces)))
        return compared

    def _operands(self, objective: str) -> tuple[str, ...]:
        """Return the layers whose values an objective reads."""
        (found,) = (o for o in self.graph.objectives if o.path == objective)
        return () if found.term.reads_weights else tuple(map(self._path, found.reads))

    # --- weights ---

    def _weights(self) -> tuple[HeldWeights, ...]:
        owned = owned_places(self.graph, self.partition, self.tile)
        received: dict[str, list[tuple[int, Strip | None]]] = {name: [] for name in owned}
        for message in weight_messages_of_tiles(self.graph, self.partition)[self.tile]:
            if message.receiver == self.tile:
                received.setdefault(message.name, []).append((message.sender, message.strip))
        return tuple(HeldWeights(name, tuple(strips)) for name, strips in sorted(received.items()))

    def _broadcasts(self) -> tuple[tuple[int, tuple[tuple[str, Strip | None], ...]], ...]:
        owned = owned_places(self.graph, self.partition, self.tile)
        parts: dict[int, list[tuple[str, Strip | None]]] = {}
        messages = weight_messages_of_tiles(self.graph, self.partition)[self.tile]
        for message in sorted(messages, key=lambda message: message.name):
            if message.sender == self.tile:
                mine, strip = owned[message.name], message.strip
                if strip is not None and isinstance(mine, Region):
                    strip = strip.within(mine)
                parts.setdefault(message.receiver, []).append((message.name, strip))
        return tuple((receiver, tuple(parts[receiver])) for receiver in sorted(parts))

    # --- what the partition says of a layer ---

    def _path(self, path: str) -> str:
        return self.graph.layer(path).path

    def _piece(self, path: str) -> Piece:
        return self.partition.piece(self.tile, self._path(path))

    def _works(self, layer: Layer) -> bool:
        return works(self.partition, self.graph, layer, self.tile)

    def _works_at(self, path: str) -> bool:
        return self._works(self.graph.layer(path))

    def _made(self, layer: Layer) -> Region:
        return made(self.graph, self.partition, layer, self.tile)
