"""A writer of LLVM IR whose calls read like the code that they generate.

    with f.loop(0, rows) as i:                              for i in range(rows):
        total.add_product(x.load(i * width, 16), weight)        total += x[i * width :][:16] * weight

Indices are 64-bit numbers with Python's operators; constants are folded. Vectors are LLVM's, of any number of lanes:
where a machine's registers are narrower, LLVM splits them. Variables live in stack slots, which LLVM promotes to
registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

REALS = {"float32": ("float", 4), "float64": ("double", 8)}
"""LLVM's name of a floating-point type, and its size in bytes."""


class Function:
    """A function `void name(ptr, ..., i64)` under construction: pointers to arrays of reals, and an index."""

    def __init__(self, name: str, arrays: tuple[str, ...], index: str, dtype: str) -> None:
        self.real, self.bytes = REALS[dtype]
        self._name = name
        self._parameters = [f"ptr noalias %{array}" for array in arrays] + [f"i64 %{index}"]
        self._slots: list[str] = []
        self._lines: list[str] = []
        self._block = "entry"
        self._count = 0
        self.arrays = tuple(Array(self, f"%{array}") for array in arrays)
        self.index = Index(self, f"%{index}")

    def text(self) -> str:
        """Return the function as LLVM's assembly text."""
        body = "\n".join(["entry:", *self._slots, *self._lines, "  ret void"])
        return f"define internal void @{self._name}({', '.join(self._parameters)}) #0 {{\n{body}\n}}\n"

    def type(self, lanes: int) -> str:
        """Return the type of a vector of reals; of one lane, the scalar type."""
        return self.real if lanes == 1 else f"<{lanes} x {self.real}>"

    def value(self, instruction: str) -> str:
        """Write an instruction and return the name of its result."""
        self._count += 1
        self._lines.append(f"  %t{self._count} = {instruction}")
        return f"%t{self._count}"

    def do(self, instruction: str) -> None:
        """Write an instruction without a result."""
        self._lines.append(f"  {instruction}")

    def operand(self, index: Index | int) -> str:
        return str(index) if isinstance(index, int) else index.name

    @contextmanager
    def loop(self, start: Index | int, stop: Index | int, step: int = 1) -> Iterator[Index]:
        """Write a loop; its body is written inside the `with` block."""
        self._count += 1
        number, before = self._count, self._block
        self.do(f"br label %head{number}")
        self._begin(f"head{number}")
        place = len(self._lines)
        within = self.value(f"icmp slt i64 %i{number}, {self.operand(stop)}")
        self.do(f"br i1 {within}, label %body{number}, label %end{number}")
        self._begin(f"body{number}")
        yield Index(self, f"%i{number}")
        following = self.value(f"add nsw i64 %i{number}, {step}")
        edges = f"[{self.operand(start)}, %{before}], [{following}, %{self._block}]"
        self._lines.insert(place, f"  %i{number} = phi i64 {edges}")
        self.do(f"br label %head{number}")
        self._begin(f"end{number}")

    def sums(self, rows: int, run: Run) -> list[list[Variable]]:
        """Return a block of variables: for each of `rows`, the vectors of a piece."""
        return [[self.variable(run.lanes) for _ in range(run.vectors)] for _ in range(rows)]

    def variable(self, lanes: int) -> Variable:
        """Return a new variable that holds zeros."""
        self._count += 1
        slot = f"%v{self._count}"
        self._slots.append(f"  {slot} = alloca {self.type(lanes)}")
        variable = Variable(self, slot, lanes)
        variable.set(self.zeros(lanes))
        return variable

    def zeros(self, lanes: int) -> Vector:
        return Vector("zeroinitializer" if lanes > 1 else "0.0", lanes)

    def multiply(self, left: Vector, right: Vector) -> Vector:
        return Vector(self.value(f"fmul {self.type(left.lanes)} {left.name}, {right.name}"), left.lanes)

    def subtract(self, left: Vector, right: Vector) -> Vector:
        return Vector(self.value(f"fsub {self.type(left.lanes)} {left.name}, {right.name}"), left.lanes)

    def multiply_add(self, left: Vector, right: Vector, total: Vector) -> Vector:
        """Return `left * right + total`, fused where the machine has such an instruction."""
        kind = self.type(total.lanes)
        product = self.value(f"fmul contract {kind} {left.name}, {right.name}")
        return Vector(self.value(f"fadd contract {kind} {product}, {total.name}"), total.lanes)

    def _begin(self, block: str) -> None:
        self._lines.append(f"{block}:")
        self._block = block


@dataclass(frozen=True)
class Run:
    """Equal pieces of an axis, one after the other, each some vectors long."""

    start: int
    count: int
    vectors: int
    lanes: int

    @property
    def length(self) -> int:
        return self.vectors * self.lanes


@dataclass(frozen=True)
class Vector:
    """A vector of reals."""

    name: str
    lanes: int


@dataclass(frozen=True)
class Index:
    """A non-negative 64-bit number, known at run time."""

    function: Function
    name: str

    def __add__(self, other: Index | int) -> Index:
        return self if other == 0 else self._with("add nsw", other)

    __radd__ = __add__

    def __sub__(self, other: Index | int) -> Index:
        return self._with("sub nsw", other)

    def __mul__(self, other: Index | int) -> Index:
        return self if other == 1 else self._with("mul nsw", other)

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Index:
        return self if other == 1 else self._with("udiv", other)

    def __mod__(self, other: int) -> Index:
        return self._with("urem", other)

    def at_least(self, least: int) -> Index:
        """Return this number or `least`, whichever is larger; this one may be negative."""
        return self._call("smax", least)

    def at_most(self, most: int) -> Index:
        return self._call("smin", most)

    def _with(self, operation: str, other: Index | int) -> Index:
        value = self.function.value(f"{operation} i64 {self.name}, {self.function.operand(other)}")
        return Index(self.function, value)

    def _call(self, intrinsic: str, other: int) -> Index:
        value = self.function.value(f"call i64 @llvm.{intrinsic}.i64(i64 {self.name}, i64 {other})")
        return Index(self.function, value)


@dataclass(frozen=True)
class Variable:
    """A mutable vector."""

    function: Function
    slot: str
    lanes: int

    def get(self) -> Vector:
        return Vector(
            self.function.value(f"load {self.function.type(self.lanes)}, ptr {self.slot}"), self.lanes
        )

    def set(self, vector: Vector) -> None:
        self.function.do(f"store {self.function.type(self.lanes)} {vector.name}, ptr {self.slot}")

    def add_product(self, left: Vector, right: Vector) -> None:
        self.set(self.function.multiply_add(left, right, self.get()))


@dataclass(frozen=True)
class Array:
    """An array of reals in memory."""

    function: Function
    name: str

    def load(self, index: Index | int, lanes: int) -> Vector:
        """Return `lanes` values from `index` on."""
        return Vector(self.function.value(f"load {self._typed(index, lanes)}"), lanes)

    def load_run(self, index: Index | int, run: Run) -> list[Vector]:
        """Return the vectors of a piece that begins at `index`."""
        return [self.load(index + v * run.lanes, run.lanes) for v in range(run.vectors)]

    def store_run(self, vectors: Sequence[Vector], index: Index | int) -> None:
        for number, vector in enumerate(vectors):
            self.store(vector, index + number * vector.lanes)

    def spread(self, index: Index | int, lanes: int) -> Vector:
        """Return the value at `index`, broadcast to all lanes."""
        one = self.load(index, 1)
        if lanes == 1:
            return one
        kind = self.function.type(lanes)
        first = self.function.value(f"insertelement {kind} poison, {self.function.real} {one.name}, i64 0")
        mask = f"<{lanes} x i32> zeroinitializer"
        return Vector(self.function.value(f"shufflevector {kind} {first}, {kind} poison, {mask}"), lanes)

    def store(self, vector: Vector, index: Index | int) -> None:
        kind = self.function.type(vector.lanes)
        self.function.do(f"store {kind} {vector.name}, {self._typed(index, vector.lanes, value=False)}")

    def prefetch(self, index: Index | int) -> None:
        """Prefetch the value at `index`, which may lie beyond the array."""
        address = self._address(index)
        self.function.do(f"call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 3, i32 1)")

    def _address(self, index: Index | int) -> str:
        place = self.function.operand(index)
        return self.function.value(f"getelementptr {self.function.real}, ptr {self.name}, i64 {place}")

    def _typed(self, index: Index | int, lanes: int, value: bool = True) -> str:
        kind = f"{self.function.type(lanes)}, " if value else ""
        return f"{kind}ptr {self._address(index)}, align {self.function.bytes}"
