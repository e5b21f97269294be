"""Graph x tiles -> the graph that tiles compute: dense layers cut by what they read, their units dealt to the tiles.

A *line* is a vector whose positions are dealt to the tiles by their numbers, an even part to each (compiler/ops/line.py).

    x ──> d = dense(10) ──> cross_entropy(d)

    x ──> d sums ──> d ──> d peaks ──> d standings
                     └──────┴─> cross_entropy(d, d standings)

    x ──> d = dense(10, act = softmax)     x ──> d sums ──> d scores ──> d scores vector ──> d

    d sums        every tile adds up the products of its own part of x, and keeps those rows of the weight
                  tile j gets its range of sums from all, and adds them up in the order of the tiles   (reduce-scatter)
    d             its range of units, with bias and activation; functions of a value alone go on in line
    d peaks       of its range, for each image: the sum of exponentials, and the highest scores        (sent to all)
    d standings   those of all tiles: the softmax, and the ranks of labels

A transposed layer with bias or activation scatters its sums (`d sums`), and finishes them where they are added up (`d`).

Where the sheet x is cut unevenly, or has too few positions for all tiles, its values are put in line before (`x line`).
A layer that reads a line as one vector gets it whole (`d vector`); so does an activation that is no function of each value
alone, as a layer behind the units (`d scores`), in the tile that owns the vector's one position and wherever it is read;
and so does an objective that compares views, in that tile alone.
Tiles take sums for a normalisation over a whole sheet alike (compiler/ops/totals.py). What reads a decoder as its units
gets it added up (`x added`).

An objective that reads sums over two whole values gets those of all tiles, `e: cosine_error(x, t)` as `e standings`:

    e dots        of a tile's own part of both values, for each image: their products, and those of each with itself
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.shapes import Size, whole
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import Objective
from lnet.compiler.ops import BatchNorm, Dense, LayerNorm
from lnet.compiler.ops.line import Added, Dots, Flat, Peaks, Standings, Sums, Units, Vector
from lnet.compiler.ops.norm import Affine
from lnet.compiler.ops.totals import Centred, Normalised, Totals
from lnet.dsl.source import Span

UNEVEN = 1.3
"""The largest part of a sheet over the mean, above which its values are dealt to the tiles before a dense layer."""


@dataclass(frozen=True)
class CutGraph(Graph):
    """A graph as tiles compute it; `lines` are the layers whose positions are dealt by the tiles' numbers."""

    lines: frozenset[str] = frozenset()

    __hash__ = Graph.__hash__

    def value_bytes(self, path: str) -> int:
        """The bytes of one value of a layer, or of its gradient, in a batch."""
        return self.training.value_bytes * self.layer(path).op.batch_rows(self.training.batch_rows)


@lru_cache(maxsize=16)
def dealt(graph: Graph, tiles: Size) -> CutGraph:
    """Return the graph that tiles compute; for one tile only sums that a layer scatters are a layer of their own."""
    if isinstance(graph, CutGraph):
        return graph
    return _Dealer(graph, tiles).graph()


class _Dealer:
    def __init__(self, graph: Graph, tiles: Size) -> None:
        self.given, self.tiles = graph, tiles
        self.layers: dict[str, Layer] = {}
        self.lines: set[str] = set()

    def graph(self) -> CutGraph:
        given = self.given
        for layer in given.layers:
            self._deal(layer) if self._count > 1 else self._whole(layer)
        objectives = tuple(map(self._objective, given.objectives))
        return CutGraph(
            given.name,
            tuple(self.layers.values()),
            objectives,
            given.training,
            given.stages,
            given.derived,
            given.frozen,
            frozenset(self.lines),
        )

    @property
    def _count(self) -> int:
        return self.tiles.rows * self.tiles.columns

    def _add(self, layer: Layer, in_line: bool = False) -> str:
        self.layers.setdefault(layer.path, layer)
        if in_line:
            self.lines.add(layer.path)
        return layer.path

    def _whole(self, layer: Layer) -> None:
        for made in layer.op.in_tiles(layer) if layer.op.scatters else (layer,):
            self._add(made)

    def _deal(self, layer: Layer) -> None:
        reads = [self.given.layer(path).path for path in layer.reads]
        if isinstance(layer.op, Dense):
            self._dense(layer, layer.op, reads[0])
        elif isinstance(layer.op, LayerNorm) and layer.op.everywhere:
            self._norm(layer, reads[0], layer.op.groups, layer.op.eps, layer.op.affine)
        elif isinstance(layer.op, BatchNorm) and not (reads[0] in self.lines or self._is_held(layer)):
            self._norm(layer, reads[0], layer.sheet.maps, layer.op.eps, layer.op.affine, layer.op)
        elif self.lines.issuperset(reads) and (op := layer.op.in_line()) is not None:
            self._add(replace(layer, op=op, reads=tuple(reads)), in_line=True)
        else:
            found = (self._vector(path, layer) for path in layer.reads)
            whole_reads = tuple(map(self._added, found) if layer.op.scatters else found)
            for made in layer.op.in_tiles(replace(layer, reads=whole_reads)):
                self._add(made)

    def _dense(self, layer: Layer, op: Dense, reads: str) -> None:
        straight = reads in self.lines or self._even(reads)
        source = self.layers[self._added(reads) if straight else self._in_line(reads)]
        weight, bias = ([p for p in layer.parameters if p.role == role] for role in ("weight", "bias"))
        sums = Layer(
            f"{layer.path} sums", Sums(source.sheet, op.units), (source.path,), tuple(weight), layer.span
        )
        self._add(sums, in_line=True)
        act = op.act and op.act.in_line()
        if act is not None or op.act is None:
            units = Units(op.units, op.bias, act)
            self._add(Layer(layer.path, units, (sums.path,), tuple(bias), layer.span), in_line=True)
            return
        units = Units(op.units, op.bias, None)
        scores = Layer(f"{layer.path} scores", units, (sums.path,), tuple(bias), layer.span)
        self._add(scores, in_line=True)
        self._add(replace(layer, op=op.act, reads=(self._as_vector(scores, layer.span),), parameters=()))

    def _is_held(self, layer: Layer) -> bool:
        return any(self.given.is_held(parameter.name) for parameter in layer.parameters)

    def _norm(
        self,
        layer: Layer,
        reads: str,
        groups: int,
        eps: float,
        affine: Affine,
        of_batch: BatchNorm | None = None,
    ) -> None:
        """Add the layers that normalise a sheet by sums; `of_batch`: those over a batch, which have running values."""
        source, of_line = self.layers[self._added(reads)], reads in self.lines
        every = (layer.sheet, of_line, whole(source.sheet.size), groups, of_batch)

        def add(path: str, op: Op, *read: str) -> str:
            mine = tuple(parameter for parameter in layer.parameters if parameter.role in op.weights())
            found = replace(layer, path=path, op=op, reads=read, parameters=mine)
            return self._add(found, in_line=of_line or op.scatters)

        sums = add(f"{layer.path} sums", Totals(*every, squares=False), source.path)
        centred = add(f"{layer.path} centred", Centred(*every), source.path, sums)
        squares = add(f"{layer.path} squares", Totals(*every, squares=True), centred)
        add(layer.path, Normalised(*every, eps, affine), centred, squares)

    def _even(self, path: str) -> bool:
        """Whether no tile has much more of a sheet than the mean."""
        size = self.layers[path].sheet.size
        largest = -(-size.rows // self.tiles.rows) * -(-size.columns // self.tiles.columns)
        return largest * self._count <= UNEVEN * whole(size).area

    def _in_line(self, path: str) -> str:
        layer = self.layers[self._added(path)]
        flat = Layer(
            f"{path} flat", Flat(layer.sheet, whole(layer.sheet.size)), (layer.path,), (), layer.span
        )
        whole_line = Layer(
            f"{path} line", Units(layer.sheet.values, False, None), (flat.path,), (), layer.span
        )
        self._add(flat, in_line=True)
        return self._add(whole_line, in_line=True)

    def _added(self, path: str) -> str:
        """Return the layer whose positions have all that an op that scatters writes there; other layers as they are."""
        layer = self.layers[path]
        if not layer.op.scatters:
            return path
        return self._add(Layer(f"{path} added", Added(layer.sheet), (path,), (), layer.span))

    def _vector(self, path: str, reader: Layer | Objective) -> str:
        """Return the layer that has a line's values as one vector; other layers as they are."""
        layer = self.layers[self.given.layer(path).path]
        return self._as_vector(layer, reader.span) if layer.path in self.lines else layer.path

    def _as_vector(self, line: Layer, span: Span) -> str:
        vector = Vector(line.sheet.values)
        return self._add(Layer(f"{line.path} vector", vector, (line.path,), (), span))

    def _objective(self, objective: Objective) -> Objective:
        if objective.term.reads_weights:
            return replace(objective, reads=self._with_weights(objective))
        reads = [self.given.layer(path).path for path in objective.reads]
        in_line = self.lines.issuperset(reads) and not objective.term.compares_views
        if not in_line:
            reads = [self._vector(path, objective) for path in objective.reads]
        if objective.term.reads_sums and self._count > 1:
            reads.append(self._sums(objective, reads))
        elif objective.term.needs_labels and in_line:
            reads += [self._peaks(path) for path in reads]
        return replace(objective, reads=tuple(reads))

    def _with_weights(self, objective: Objective) -> tuple[str, ...]:
        """Return the layers that have the parameters that an objective reads."""
        owners: dict[str, str] = {}
        for layer in self.layers.values():
            for parameter in layer.parameters:
                owners.setdefault(parameter.name, layer.path)
        return tuple(dict.fromkeys(owners[p.name] for p in self.given.weights_read(objective)))

    def _sums(self, objective: Objective, reads: list[str]) -> str:
        grid = Size(self._count, 1) if self.lines.issuperset(reads) else self.tiles
        dots = Dots(self.layers[reads[0]].sheet, grid)
        return self._standings(objective.path, "dots", dots, tuple(reads), objective.span)

    def _peaks(self, path: str) -> str:
        layer = self.layers[path]
        return self._standings(path, "peaks", Peaks(layer.sheet.values, self._count), (path,), layer.span)

    def _standings(self, path: str, name: str, op: Op, reads: tuple[str, ...], span: Span) -> str:
        """Add an op with a position for each tile, and return the layer that has all of them at each."""
        said = Layer(f"{path} {name}", op, reads, (), span)
        self._add(said, in_line=True)
        all_said = Standings(said.sheet.height, said.sheet.maps)
        return self._add(Layer(f"{path} standings", all_said, (said.path,), (), span), in_line=True)
