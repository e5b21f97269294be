"""What must hold in every run, checked while it happens and at its end."""

from collections import Counter

from fake_numerics import squares, undisturbed_steps

from lnet.runtime.cluster.protocol.messages import PullReply, PushAck
from lnet.runtime.cluster.protocol.primary import Primary
from lnet.runtime.cluster.protocol.standby import Standby
from lnet.runtime.cluster.protocol.updates import Update


class Watch:
    """An observer that sees all processes at once, in true time."""

    def __init__(self, losses_allowed=True, looks_at_standby=True):
        self.losses_allowed, self.looks_at_standby = losses_allowed, looks_at_standby
        self.notes, self.drained, self.refused = [], [], Counter()
        self.duplicates, self.torn, self.given_back, self.slow = 0, set(), set(), []
        self.batches, self.losses, self.rollbacks, self.struck = {}, [], [], Counter()
        self.lost, self.lost_batches, self.ever = {}, {}, {}
        self.judgements, self.validations, self.best = {}, [], None
        self.decisions = 0
        self._start()

    def _start(self):
        self.acknowledged, self.terms, self.folds, self.restored = {}, {}, {}, set()

    def decided(self, before, after):
        """The coordinator has come from one table to another, and what it looks things up in with it.

        A look is a walk over all workers: among more than a hundred there is one in as many events.
        """
        self.decisions += 1
        workers = len(after.members)
        if workers <= 100 or self.decisions % workers == 0:
            assert after.index == after.indexed().index

    def stepped(self, slot):
        """A tile of a replica has done a step."""

    # --- while it happens ----------------------------------------------------------------------------------------

    def replied(self, process, message):
        """A primary answered a replica."""
        fence = message.fence
        server = process.state.servers[fence.shard]
        highest = self.terms.get(fence.shard, 0)
        assert fence.term >= highest, f"term {fence.term} of shard {fence.shard} answers after term {highest}"
        if fence.term > highest:
            self.terms[fence.shard] = fence.term
            self._check_nothing_forgotten(fence.shard, server)
        if isinstance(message, PushAck):
            self._check_kept(fence.shard, server, message)
        if isinstance(message, PullReply) and not self.cluster.spec.synchronous:
            self._check_staleness(message)

    def _check_kept(self, shard, server, message):
        assert message.update in server.ledger
        if message.durable and self.looks_at_standby:
            self._check_at_standby(server, message.update)
        self.acknowledged.setdefault(shard, {})[message.update] = message.durable
        self.ever.setdefault(shard, set()).add(message.update)

    def _check_at_standby(self, server, update):
        """Durable means that another process has it too, unless that one was lost since it said so."""
        assert server.follower is not None, f"{update} is called durable, and there is no standby"
        process = self.cluster.processes.get(server.follower.worker)
        other = process.state.servers.get(server.assignment.shard) if process is not None else None
        if isinstance(other, Standby) and other.fence == server.follower.fence:
            held = other.ledger is not None and update in other.ledger
            assert held, f"{update} is called durable, and the standby has not got it"

    def _check_nothing_forgotten(self, shard, server):
        """A promoted standby has all that its predecessors acknowledged, but for what was declared lost."""
        if shard in self.restored:
            self.restored.discard(shard)
            self._forget_undone(shard, server)
        gone = self.lost.get(shard, set())
        for update in self.acknowledged.get(shard, {}):
            assert update in server.ledger or update in gone, (
                f"{update} of shard {shard} was acknowledged and lost"
            )

    def _forget_undone(self, shard, server):
        """A restored shard lacks some of what not all shards had acknowledged: it comes again, under some number."""
        kept = self.acknowledged.get(shard, {})
        self.acknowledged[shard] = {
            update: durable for update, durable in kept.items() if update in server.ledger
        }

    def _check_staleness(self, params):
        spec, table = self.cluster.spec, self.cluster.table
        if spec.staleness is None:
            return
        used = params.step
        while (used + 1) % spec.fetch:
            used += 1
        needed = {step // spec.push for step in range(used - spec.staleness)}
        held = {update for update, _ in params.payload.lines}
        for index, slot in enumerate(table.slots):
            if not (slot.active and slot.confirmed):
                continue
            for number in needed - set(range(slot.start)):
                assert Update(index, number) in held, (
                    f"step {params.step} was answered without {index}/{number}"
                )

    def applied(self, process, apply, state):
        """Primary and standby of a term have the same state after the same line."""
        server = process.state.servers.get(apply.role.index)
        if server is None or server.role != apply.role:
            return
        term = server.assignment.term if isinstance(server, Primary) else server.fence.term
        if self.cluster.spec.norms:
            self._check_norms(apply)
        key = (apply.role.index, term, apply.position)
        assert self.folds.setdefault(key, state.fold) == state.fold, f"two states of line {key}"

    def _check_norms(self, apply):
        """A step that is clipped is clipped by the norms of all shards together, which have the same parts."""
        spec = self.cluster.spec
        alone = squares([part.payload for part in apply.parts], spec.norms)
        assert apply.norms == tuple(spec.shards * each for each in alone), f"{apply} has other norms"

    def computing(self, compute):
        """An update is always made of the same batches."""
        key = (compute.update, compute.index)
        assert self.batches.setdefault(key, compute.batch) == compute.batch, f"two batches for {key}"

    def declared_lost(self, declared):
        assert self.losses_allowed, f"one failure at a time lost {declared}"
        self.losses.append(declared)
        ever = self.ever.get(declared.shard, set())
        assert set(declared.updates) <= ever, "what was never acknowledged is declared lost"
        self.lost.setdefault(declared.shard, set()).update(declared.updates)
        batches = {batch for (update, _), batch in self.batches.items() if update in declared.updates}
        self.lost_batches.setdefault(declared.shard, set()).update(batches)

    def declared_rollback(self, declared):
        assert self.losses_allowed, f"one failure at a time lost {declared}"
        self.rollbacks.append(declared)
        for acknowledged in self.acknowledged.values():
            for update in [u for u in acknowledged if u.number >= declared.step]:
                del acknowledged[update]
        self.folds.clear()

    def saved(self, manifest):
        """A committed checkpoint is whole, synchronous of one step."""
        states = [self.cluster.files[digest] for digest in manifest.digests]
        for metadata, state in states:
            if manifest.step is not None:
                assert metadata.committed == state.steps == manifest.step
            else:
                assert all(update in metadata.updates for update, _ in state.lines)
                assert metadata.head == len(state.lines)

    def judged(self, judge):
        """All tiles of a replica validate the same attempt, synchronous with the parameters of exactly its step.

        Every third is the best so far.
        """
        spec, order = self.cluster.spec, judge.order
        assert [part.id for part in judge.parts] == [order.id] * spec.tiles
        assert order.id not in self.judgements, f"attempt {order.id} is judged twice"
        self.judgements[order.id] = folds = [part.terms["fold"] for part in judge.parts]
        if spec.synchronous:
            steps = undisturbed_steps(spec.replicas, order.step, spec.shards, spec.norms)
            assert folds == [float(steps)] * spec.tiles, (
                f"others are validated than those of step {order.step}"
            )
        if order.id % 3:
            self.validations.append(order.step)
        return order.id % 3 == 0

    def kept(self, keep):
        """What is kept as the best is, at all shards, what was validated."""
        spec, order = self.cluster.spec, keep.order
        assert order.keep
        if not keep.reason:
            found = [digest.split("/") for digest in keep.digests]
            assert [(int(id), int(shard)) for id, shard, *_ in found] == [
                (order.id, s) for s in range(spec.shards)
            ]
            folds = [self.judgements[order.id][spec.tile_of(shard)] for shard in range(spec.shards)]
            assert [float(fold) for *_, fold in found] == folds, "others are kept than were validated"
            self.best = order.step
        self.validations.append(order.step)

    def validated_by(self, manifest):
        """The last validation of a run that goes on from a checkpoint, by its log, and how many there were."""
        used = 0 if manifest is None else manifest.used
        found = [step for step in self.validations if step <= used // self.cluster.spec.replicas]
        return max(found, default=0), max(self.judgements, default=0)

    def resumed(self, manifest):
        """A new token: what the checkpoint does not hold is forgotten."""
        self._start()
        kept = set()
        if manifest is not None:
            for digest in manifest.digests:
                kept |= {update for update, _ in self.cluster.files[digest][1].lines}
            kept |= {task.update for slot in manifest.slots for task in slot.leases}
        self.batches = {key: batch for key, batch in self.batches.items() if key[0] in kept}

    # --- at the end ----------------------------------------------------------------------------------------------

    def check_end(self):
        """The run finished with a whole checkpoint; return the states of its shards."""
        finish, spec = self.cluster.finished, self.cluster.spec
        assert finish is not None, self._stuck()
        assert finish.manifest is not None
        self.saved(finish.manifest)
        states = [self.cluster.files[digest][1] for digest in finish.manifest.digests]
        self._check_validations()
        if spec.synchronous:
            assert [state.steps for state in states] == [spec.steps] * spec.shards
        else:
            for shard, state in enumerate(states):
                self._check_shard(shard, state)
            self._check_torn(states)
        return states

    def _check_validations(self):
        """The last parameters are validated, synchronous those of every due step; none twice, but after going back."""
        spec, found = self.cluster.spec, self.validations
        every = spec.validate_every
        if not every:
            assert not found
            return
        due = {*range(every, spec.steps + 1, every), spec.steps}
        assert found[-1] == spec.steps, f"the last parameters are not validated: {found}"
        assert set(found) == due if spec.synchronous else set(found) <= due, f"validated: {found}"
        if self.cluster.runs == 1 and not self.rollbacks:
            assert found == sorted(set(found)), f"validated twice: {found}"

    def _check_torn(self, states):
        """An update that shards have from different generations is counted, and no other, unless it is given back."""
        lines = [dict(state.lines) for state in states]
        everywhere = set(lines[0]).intersection(*lines[1:])
        torn = {update for update in everywhere if len({found[update] for found in lines}) > 1}
        silent = {update for update in torn - self.torn if not set(lines[0][update][2:-1]) <= self.given_back}
        assert not silent, f"{silent} are torn, and nobody said so"
        if not self.losses and self.cluster.runs == 1:
            assert self.torn <= torn, f"{self.torn - torn} are called torn"

    def _check_shard(self, shard, state):
        """All batches are in it, once, and all acknowledged updates, but for what was declared lost or given back."""
        lost, lines = self.lost.get(shard, set()), dict(state.lines)
        used = Counter(batch for payload in lines.values() for batch in payload[2:-1])
        declared = self.lost_batches.get(shard, set())
        missing = set(range(self.cluster.spec.batches)) - set(used) - declared
        assert not missing, f"shard {shard} has never seen the batches {sorted(missing)}"
        if not self.losses and self.cluster.runs == 1:
            twice = {batch for batch, count in used.items() if count > 1}
            assert twice <= self.given_back, (
                f"shard {shard} has {twice - self.given_back} twice, and nobody said so"
            )
        for update in self.acknowledged.get(shard, {}):
            again = {b for (u, _), b in self.batches.items() if u == update} <= set(used)
            assert update in lines or update in lost or again, f"{update} is not in shard {shard}"

    def _stuck(self):
        notes = "\n".join(f"{time:8.3f} {what}" for time, what in self.notes[-30:])
        return f"the run did not finish by {self.cluster.time:.1f} s\n{notes}\n{self.refused}"
