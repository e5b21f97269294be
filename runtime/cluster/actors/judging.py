"""What becomes of a validation: its tiles' shares added up, compared with the best so far, told, and the best kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.store.best import Score, in_manifest
from lnet.runtime.store.events import Event, Validated, Warned
from lnet.runtime.store.owner import TakenOver
from lnet.runtime.training.losses import losses


class Judging:
    """`tell` takes an event of the protocol, `log` publishes one of the run, `give_way` ends it for another process.

    `best`: the score of the best parameters so far; `judged`: the one that is to be the best, with what was found.
    """

    def __init__(
        self,
        config: RunConfig,
        tell: Callable[..., None],
        log: Callable[[Event], None],
        give_way: Callable[[TakenOver], None],
    ) -> None:
        self.config, self.tell, self.log, self.give_way = config, tell, log, give_way
        self.loop = asyncio.get_running_loop()
        self.best = None if config.validation is None else config.validation.best
        self.judged: tuple[Score, Validated] | None = None

    def _judge(self, judge: do.Judge) -> None:
        found = validated(self.config, judge)
        by, known = self.config.plan.graph.training.keep_best, self.config.validation
        assert known is not None, "a run without a validation has none to judge"
        score = None if by is None else Score.of(found, by, known.digest)
        best = score is not None and score.beats(self.best)
        if score is not None and best:
            self.judged = score, found
        else:
            self.log(found)
        self.loop.call_soon(self.tell, events.Judged, judge.order.id, best)

    def _keep(self, keep: do.KeepBest) -> None:
        assert self.judged is not None, "what is kept was judged"
        # asyncio keeps no task alive by itself
        self.keeping = self.loop.create_task(self._commit(keep, *self.judged))

    async def _commit(self, keep: do.KeepBest, score: Score, found: Validated) -> None:
        error = keep.reason
        try:
            if not error:
                await asyncio.to_thread(self._rename, keep, score)
        except TakenOver as taken:
            self.give_way(taken)
            return
        except OSError as failed:
            error = str(failed)
        if error:
            text = f"the best parameters, of step {found.step:,}, could not be written: {error}"
            self.log(Warned(text))
        else:
            self.best = score
        self.log(replace(found, best=not error))
        self.tell(events.BestKept, keep.order.id)

    def _rename(self, keep: do.KeepBest, score: Score) -> None:
        """Let the parameters count, and remove what attempts have left that did not come so far."""
        content = {"digests": list(keep.digests), "torn": 0, **in_manifest(score)}
        folder = self.config.best
        folder.commit(self.config.owner, keep.order.id, keep.order.step, content)
        folder.clean()

    def performers(self) -> dict[type, Callable[..., Any]]:
        """Return the handler of each instruction."""
        return {do.Judge: self._judge, do.KeepBest: self._keep}


def validated(config: RunConfig, judge: do.Judge) -> Validated:
    """Return what the tiles of a replica found together, added up in their order."""
    graph = config.plan.graph.validated
    assert graph is not None, "what is judged was validated"
    terms: dict[str, float] = {}
    for part in judge.parts:
        for path, value in part.terms.items():
            terms[path] = terms.get(path, 0.0) + value
    found = losses(graph, terms)
    return Validated(
        step=judge.order.step,
        images=judge.parts[0].images,
        loss=found.loss,
        terms=found.terms,
        objectives=found.objectives,
        accuracies=found.accuracies,
        seconds=max(part.seconds for part in judge.parts),
    )
