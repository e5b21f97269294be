"""Every message and instruction of the protocol is known wherever it must be."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from simulator import Cluster, spec

from lnet.runtime.cluster import actors
from lnet.runtime.cluster.actors.validator import PayloadValidator
from lnet.runtime.cluster.protocol import worker
from lnet.runtime.cluster.protocol.events import Received
from lnet.runtime.cluster.protocol.instructions import Instruction
from lnet.runtime.cluster.protocol.messages import Message, StandbyFence
from lnet.runtime.cluster.protocol.wire import KINDS

FOLDER = Path(actors.__file__).parent
DOCUMENT = (Path(__file__).parents[3] / "docs/protocol.md").read_text()
WHO_SAYS_WHAT = DOCUMENT.partition("## Who says what\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", get_args(Message), ids=lambda kind: kind.__name__)
def test_a_message_goes_over_the_wire_and_is_described(kind):
    assert KINDS[kind.__name__] is kind
    assert f"`{kind.__name__}`" in WHO_SAYS_WHAT


@pytest.mark.parametrize("kind", get_args(Instruction), ids=lambda kind: kind.__name__)
def test_an_instruction_is_performed_by_processes_and_by_the_simulator(kind):
    text = "".join(
        (FOLDER / name).read_text()
        for name in (
            *("coordinator_plugin.py", "judging.py"),
            *("roles_plugin.py", "servers.py", "tiles.py", "validating.py"),
        )
    )
    assert re.search(rf"\bdo\.{kind.__name__}: self\.", text)
    assert hasattr(Cluster, f"_{kind.__name__}")


@dataclass(frozen=True)
class Unheard:
    """A message that nobody has entered anywhere."""

    fence: StandbyFence


def test_a_message_of_a_kind_that_nobody_knows_reaches_no_role():
    state, _ = worker.begin(spec(), "w", "host", 0.0)
    message = Unheard(StandbyFence("run1", 0, 1, 1))
    with pytest.raises(AssertionError, match="Unheard"):
        worker.step(state, Received(0.1, "x", message))
    with pytest.raises(AssertionError, match="Unheard"):
        PayloadValidator(None, None, None).check(message)
