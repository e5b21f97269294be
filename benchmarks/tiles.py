"""A step of one replica in 2 and in 4 tiles, each in a process: python benchmarks/tiles.py

What the tiles' threads spend on kernels and on waiting; what their messages take, sent alone over the same
connections; and the bytes that were sent, which must be those that the plan predicts, beside the fewest possible.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cluster import WARM, durable, images, plan_of
from distributed import Client, Worker
from distributed.protocol import to_serialize
from timing import machine

import lnet
from lnet.compiler.cut.cost import totals
from lnet.compiler.cut.weights import weight_messages
from lnet.compiler.plan.plan import Plan
from lnet.runtime.cluster.transport.connect import LOCAL, connected, workers_of
from lnet.runtime.engine.evaluate import batch_last
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Send, Shard, Step

ECHO = "lnet_benchmark_take"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--maps", type=int, default=4, help="of each stage; 8 as in benchmarks/step.py")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--tiles", type=int, nargs="+", default=[2, 4])
    asked = parser.parse_args()
    print(machine())
    print(
        f"three stages, field 10, {asked.maps} maps, 96x96x3, batch 64; seconds, medians of {asked.steps - WARM}"
    )
    columns = ("wall", "step", "kernels", "waiting", "messages", "sent", "predicted", "bound")
    widths = (9,) * 5 + (14,) * 3
    print("  tiles   " + "".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for count in asked.tiles:
        print(line(plan_of(asked.maps, asked.steps, count=count)), flush=True)


def line(plan: Plan) -> str:
    """Return the figures of one cut."""
    tiles = plan.partition.tiles
    with connected(LOCAL, plan) as client, durable("single"), tempfile.TemporaryDirectory() as folder:
        run = lnet.train(plan, images(), directory=Path(folder) / "run", client=client)
        events = [event for event in run.events() if event.name == "step"]
        alone = messages_alone(client, plan)
    (sent,) = {event.bytes for event in events}
    predicted, bound = bytes_of(plan)
    if sent != predicted:
        raise SystemExit(f"{tiles}: {sent:,} bytes were sent, and the plan says {predicted:,}")
    events = events[WARM:]
    wall = float(np.median(np.diff([event.time for event in events])))
    seconds, waited = (float(np.median([event[key] for event in events])) for key in ("seconds", "waited"))
    kernels = float(np.median([event.seconds - event.waited for event in events]))
    times = "".join(f"{value:9.3f}" for value in (wall, seconds, kernels, waited, alone))
    return f"  {tiles!s:8}{times}{sent:14,}{predicted:14,}{bound:14,.0f}"


def bytes_of(plan: Plan) -> tuple[int, float]:
    """Return the bytes of a step as the plan predicts them, and the fewest possible."""
    graph, cut = plan.graph, plan.partition
    weights = 2 * graph.training.value_bytes * sum(message.values for message in weight_messages(graph, cut))
    sums = totals(graph, cut)
    halo = cut.halo_values * graph.training.value_bytes * graph.training.batch
    assert halo == sums.halo, "cost: totals and partition count the same values"
    return halo + weights, sums.halo / sums.halo_ratio + weights


# --- messages alone ------------------------------------------------------------------------------------------------


def messages_alone(client: Client, plan: Plan, rounds: int = 5) -> float:
    """Return the seconds that the messages of a step take one after the other, for the tile that sends most."""
    sizes = sizes_sent(plan)
    client.run(listen)
    addresses = sorted(workers_of(client))
    sender, receiver = addresses[:2]
    times = [client.run(send, receiver, max(sizes, key=sum), workers=[sender])[sender] for _ in range(rounds)]
    return float(np.median(times))


def sizes_sent(plan: Plan) -> list[list[int]]:
    """Return the bytes of each message that each tile sends in a step."""
    graph, cut = plan.graph, plan.partition
    params = initial_params(graph, 0)
    shards = [_Recording(Shard(graph, cut, tile)) for tile in range(cut.count)]
    jax.block_until_ready(
        run_tiles(shards, [s.shard.owned(params) for s in shards], batch_last(jnp.asarray(images()[:64])))  # type: ignore[arg-type]
    )
    return [shard.sizes for shard in shards]


class _Recording:
    """A tile that notes the sizes of what it sends."""

    def __init__(self, shard: Shard) -> None:
        self.shard, self.sizes, self.images = shard, list[int](), shard.images

    def step(self, *operands: Any) -> Step:
        step, answer = self.shard.step(*operands), None
        while True:
            try:
                want = step.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(want, Send):
                self.sizes.append(sum(array.nbytes for array in want.arrays))
            answer = yield want


def listen(dask_worker: Worker) -> None:
    """Let a worker take arrays that it has no use for."""

    async def take(arrays: Any) -> str:
        return "taken"

    dask_worker.handlers[ECHO] = take


async def send(to: str, sizes: list[int], dask_worker: Worker) -> float:
    """Send messages of these sizes one after the other; return how long that took."""
    arrays = [np.zeros(size, np.uint8) for size in sizes]
    began = time.perf_counter()
    for array in arrays:
        await getattr(dask_worker.rpc(to), ECHO)(arrays=[to_serialize(array)])
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
