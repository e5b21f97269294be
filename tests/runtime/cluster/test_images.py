"""Images in a process of a cluster: decoded once, ahead of their turn, and no more of them kept than are needed."""

import numpy as np
import pytest

from lnet.compiler.pipeline import compile_text
from lnet.runtime.cluster.actors.images import AHEAD, Images
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol.events import RoleId

TEXT = "network n { image: input(6x6x1); f: local(3, 2) } train { batch = 4 }"


class Counting:
    """In place of a data set: says which batches were asked for."""

    def __init__(self):
        self.decoded = []

    def batch(self, first, count, every):
        self.decoded.append(first // count)
        return np.full((count, 6, 6, 1), first // count)


@pytest.fixture
def images():
    plan = compile_text(TEXT)
    images = Images(RunConfig("run", plan.to_json(), ".", ".", None, workers=1, capacity=1))
    images.dataset = Counting()
    yield images
    images.close()


def tile(slot):
    return RoleId("tile", slot, 0, serial=1)


@pytest.mark.parametrize("push", [1, 2, 12])
@pytest.mark.parametrize("roles", [1, 2, 7])
def test_each_batch_is_decoded_once_however_many_a_role_fetches_work_for(images, push, roles):
    """Roles take turns; each has the batches of an update, and of the next one, before it."""
    rounds = 24 // push
    for round in range(rounds):
        for index in range(push):
            for slot in range(roles):
                first = (round * roles + slot) * push
                work = range(first + index, first + push)
                images.expect(tile(slot), work)
                assert images.batch(first + index)[0, 0, 0, 0] == first + index
                assert len(images.kept) <= AHEAD * roles
    assert sorted(images.dataset.decoded) == list(range(24 * roles))


def test_a_role_that_ends_leaves_nothing_behind(images):
    images.expect(tile(0), [0, 1, 2])
    images.expect(tile(1), [2, 3])
    images.forget(tile(0))
    assert sorted(number for number, _ in images.kept) == [2, 3]
