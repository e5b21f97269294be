"""Asynchronous against synchronous replicas, one of them half as fast: python benchmarks/asynchronous.py

Gradients, updates and losses are real; time is virtual (benchmarks/virtual.py), with the times that a step, an update
and messages were measured to take. Each kind of run takes the best of some rates, by its loss after the images that
the synchronous runs see. Asynchronous runs start warm, from one replica, and go on for half as many images more, to
see when they get where the synchronous one ends. Losses are of the server's parameters, on images not trained on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tiles import listen, send
from timing import machine
from virtual import EVERY, Simulation, Times, gradients_of

from lnet.compiler.core.shapes import Size
from lnet.compiler.pipeline import Layout, compile_source
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.runtime.cluster.actors.numerics import Replica, Server
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.transport.connect import LOCAL, connected, workers_of
from lnet.runtime.engine.evaluate import total_loss
from lnet.runtime.engine.shard import Shard

NETWORK = """
stage sense() {
    filter: local(7, maps = 6)
    pool:   l2pool(3)
    norm:   lcn(5, edge = valid)
    learn:  rica()
}
network small { image: input(32x32x1); V1: sense() }
train {
    batch = 100
    steps = %d
    replicas = %d
    staleness = %s
    warmup = %d
    seed = %d
    update = adagrad(rate = %g)
}
"""
STALENESS = (0, 1, 4, None)

Runs = Mapping[int | None, tuple[float, Simulation]]
"""Of each bound on staleness: the rate, and the run."""


def plan_of(
    batches: int, replicas: int, staleness: int | None, rate: float, warmup: int = 0, seed: int = 0
) -> Plan:
    bound = "none" if staleness is None else staleness
    source = Source(NETWORK % (batches // replicas, replicas, bound, warmup, seed, rate), "small.lnet")
    return compile_source(source, {}, Collector(source), Layout(workers=replicas, tiles=Size(1, 1)))


def pictures(count: int, seed: int) -> np.ndarray[Any, Any]:
    """Return smooth random images of mean 0 and variance 1."""
    walks = np.random.default_rng(seed).normal(size=(count, 32, 32, 1)).cumsum(1).cumsum(2)
    return ((walks - walks.mean((1, 2), keepdims=True)) / walks.std((1, 2), keepdims=True)).astype(np.float32)


def measured(config: RunConfig, shard: Shard, images: np.ndarray[Any, Any]) -> Times:
    """Return what a step, an update and messages take here: the shortest of several, as nothing else shares them."""
    server, replica = Server(config, 0), Replica(config, shard)
    server.begin()
    replica.install(server.read())
    gradients = gradients_of(replica, images)
    kernels = shortest(lambda: gradients_of(replica, images))
    update = shortest(lambda: (server.apply([gradients], age=0), server.params)[1])
    size = sum(array.nbytes for array in server.params.values())
    with connected(LOCAL, plan_of(32, 2, None, 0.1)) as client:
        client.run(listen)
        one, other = sorted(workers_of(client))
        small, large = (
            min(client.run(send, other, [bytes], workers=[one])[one] for _ in range(12))
            for bytes in (64, size)
        )
    return Times(kernels, update, small, large)


def shortest(call: Callable[[], Any], rounds: int = 12) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=256)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument(
        "--warmup", type=int, default=16, help="batches of one replica before the others start"
    )
    parser.add_argument("--seeds", type=int, default=1, help="of initial weights and images")
    asked = parser.parse_args()
    print(machine())
    config = brief_of(plan := plan_of(32, 1, None, 0.1))
    times = measured(config, Shard(plan.graph, plan.partition, 0), pictures(plan.graph.training.batch, 1))
    print(
        f"milliseconds: step {1e3 * times.kernels:.1f} (the last replica's: twice that), update {1e3 * times.update:.1f}, "
        f"message {1e3 * times.small:.1f}, with parameters {1e3 * times.large:.1f}"
    )
    for replicas in (2, 4):
        found = [best_runs(asked, times, replicas, seed) for seed in range(asked.seeds)]
        for runs in found:
            table(runs, replicas)
        summary(found, replicas)


def best_runs(asked: argparse.Namespace, times: Times, replicas: int, seed: int) -> Runs:
    """Train with each bound and rate; keep of each bound the rate whose loss is lowest where the synchronous runs end."""
    images, unseen = (
        pictures(2048, 2 * seed + 1),
        jnp.moveaxis(jnp.asarray(pictures(256, 2 * seed + 2)), 0, -1),
    )
    graph = (plan := plan_of(32, 1, None, 0.1)).graph
    shard = Shard(graph, plan.partition, 0)
    evaluate = jax.jit(lambda params: total_loss(graph, params, unseen)[0])

    def run(staleness: int | None) -> tuple[float, Simulation]:
        runs = []
        for rate in asked.rates:
            batches = asked.batches if staleness == 0 else asked.batches * 3 // 2
            config = brief_of(plan_of(batches, replicas, staleness, rate, asked.warmup, seed))
            runs.append((rate, Simulation(config, shard, times, images, lambda p: float(evaluate(p))).run()))
        mark = asked.batches // EVERY
        return min(runs, key=lambda pair: np.nan_to_num(pair[1].history[mark][2], nan=np.inf))

    return {staleness: run(staleness) for staleness in STALENESS}


def brief_of(plan: Plan) -> RunConfig:
    return RunConfig("benchmark", plan.to_json(), ".", ".", None, workers=1, capacity=1)


def summary(found: list[Runs], replicas: int) -> None:
    """Print the share of the synchronous run's time, and of its images, that others take to its last loss."""
    print(
        f"\n{replicas} replicas, {len(found)} seeds: of the synchronous run's time (and images) to its last loss"
    )
    for staleness in STALENESS[1:]:
        shares = [share for runs in found if (share := share_of_last(runs, staleness)) is not None]
        bound = "none" if staleness is None else str(staleness)
        if shares:
            seconds, images = np.array(shares).T
            figures = (
                seconds.mean(),
                seconds.min(),
                seconds.max(),
                images.mean(),
                images.min(),
                images.max(),
            )
            print(
                "  {:10}{:6.2f} ({:.2f}..{:.2f})   {:6.2f} ({:.2f}..{:.2f})".format(bound, *figures), end=""
            )
        print(f"   reached by {len(shares)} of {len(found)}")


def share_of_last(runs: Runs, staleness: int | None) -> tuple[float, float] | None:
    """Return the shares of time and images, or None if the loss is not reached."""
    images, seconds, loss = runs[0][1].history[-1]
    reached = runs[staleness][1].reaches(loss)
    return None if reached is None else (reached[1] / seconds, reached[0] / images)


def table(runs: Runs, replicas: int) -> None:
    """Print losses against images, and when each kind of run reaches those of the synchronous one."""
    history = runs[0][1].history
    marks = [len(history) // 8, len(history) // 4, len(history) // 2, len(history) - 1]
    targets = [history[mark][2] for mark in marks[1:]]
    print(f"\n{replicas} replicas: loss after images; seconds (and images) until a loss")
    heads = [f"{history[mark][0]:,}" for mark in marks] + [f"{target:.4g}" for target in targets]
    print(
        f"  {'staleness':10}{'rate':>6}{'age':>6}"
        + "".join(f"{head:>10}" for head in heads[:4])
        + "".join(f"{head:>17}" for head in heads[4:])
    )
    for staleness, (rate, run) in runs.items():
        reached = [run.reaches(target) for target in targets]
        cells = ["never" if r is None else f"{r[1]:.2f} ({r[0]:,})" for r in reached]
        losses = "".join(f"{run.history[mark][2]:10.4g}" for mark in marks)
        bound = "none" if staleness is None else str(staleness)
        print(
            f"  {bound:10}{rate:6g}{np.mean(run.ages):6.1f}{losses}"
            + "".join(f"{cell:>17}" for cell in cells)
        )


if __name__ == "__main__":
    main()
