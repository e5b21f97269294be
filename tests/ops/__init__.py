"""What tests know of each op: a file for each file of `compiler/ops`, of the same name.

`FORMULAS`, by the kind of op: docs/language.md's formula in numpy, float64, of the op, its operands
`[batch, row, column, map]` and its parameters by role. Slow on purpose and written from the specification's text, not
from the kernels: plain loops over positions. `LINES`, by the kind of layer: how a line of a random network is drawn, from
a layer to read, all those above, and the local ones among them.
"""

from importlib import import_module

from lnet.compiler import ops

_FILES = [import_module(f"{__name__}.{name}") for name in ops.FILES]
FORMULAS = {kind: formula for file in _FILES for kind, formula in file.FORMULAS.items()}
LINES = {kind: line for file in _FILES for kind, line in file.LINES.items()}
