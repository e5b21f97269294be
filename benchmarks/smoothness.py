"""The loss of `smooth` and its gradient against peers, on the same weights in one run: python benchmarks/smoothness.py

The sheets are those of examples/all_tnn. Peers: XLA's computation of lnet's own formula (what runs on other machines and
in exported programs), JAX's gradient of the formula as one would write it, a sheet of vectors against itself shifted by
one, and the same in PyTorch, where it is installed. `2 w` reads and writes the weights once: the floor of any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import Call, jitted, machine, medians

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.schedule import TermShare
from lnet.compiler.cut.weights import OWN, Border
from lnet.compiler.objectives import Smooth
from lnet.runtime.kernels.choose import portable
from lnet.runtime.kernels.smooth import smooth

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]

SHEETS = {
    "small V1": (28, 5, 3, 6),
    "small V2": (12, 3, 36, 8),
    "small V3": (10, 3, 64, 8),
    "small V5": (1, 3, 100, 20),
    "All-TNN V1": (48, 7, 3, 8),
    "All-TNN V4": (8, 3, 64, 16),
}
"""Positions along a side, field, maps in, units along a side of a patch."""


def main() -> None:
    print(machine())
    columns = "native", "xla", "jax", "torch", "2 w"
    print("".join(f"{title:>14}" for title in ("", "weights", *columns, "faster than best peer")))
    for name, (extent, field, maps_in, side) in SHEETS.items():
        weight = np.random.default_rng(0).normal(size=(extent, extent, field, field, maps_in, side**2))
        times = medians(dict(calls(weight.astype(np.float32), extent, side)), rounds=5)
        best = min(times[peer] for peer in ("xla", "jax", "torch") if peer in times)
        shown = "".join(f"{times[key]:11.1f} ms" if key in times else f"{'-':>14}" for key in columns)
        print(f"{name:>14}{weight.size:>14,}{shown}{best / times['native']:14.1f} x")


def calls(weight: np.ndarray[Any, Any], extent: int, side: int) -> list[tuple[str, Call]]:
    """Return a call of each peer's loss and gradient, once all give the same loss."""
    patch = Size(side, side)
    term, given = Smooth(4, True, False, patch), jnp.asarray(weight)
    share = TermShare(
        "smooth", (), (), weights=("w",), border=Border(OWN, OWN), pairs=2 * (extent * side) ** 2
    )

    def ours(weight: jax.Array) -> jax.Array:
        return smooth(term, share, {"own": (weight,)})

    def by_xla(weight: jax.Array) -> jax.Array:
        with portable():
            return smooth(term, share, {"own": (weight,)})

    def plain(weight: Any, roll: Callable[..., Any] = jnp.roll) -> Any:
        vectors = weight.reshape(extent, extent, -1, side, side)
        moved = vectors.transpose(0, 3, 1, 4, 2) if roll is jnp.roll else vectors.permute(0, 3, 1, 4, 2)
        units = moved.reshape(extent * side, extent * side, -1)
        units = units / ((units**2).sum(2)[:, :, None] + 1e-8) ** 0.5
        return 1 - sum((units * roll(units, -1, axis)).sum(2).mean() for axis in (0, 1)) / 2

    made = [
        ("native", jitted(jax.value_and_grad(ours), given)),
        ("xla", jitted(jax.value_and_grad(by_xla), given)),
        ("jax", jitted(jax.value_and_grad(plain), given)),
        ("2 w", jitted(lambda weight: 2 * weight, given)),
    ]
    if torch is not None:
        trained = torch.tensor(weight, requires_grad=True)

        def by_torch() -> Any:
            trained.grad = None
            loss = plain(trained, lambda units, by, axis: torch.roll(units, by, axis))
            loss.backward()
            return loss.detach().numpy()

        made.append(("torch", by_torch))
    losses = [
        float(np.asarray(call() if name == "torch" else call()[0])) for name, call in made if name != "2 w"
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)
    return made


if __name__ == "__main__":
    main()
