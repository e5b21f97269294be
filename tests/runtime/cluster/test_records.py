"""What the coordinator keeps its table in: mappings that are copied in part, and workers by how many roles they have."""

from hypothesis import given
from hypothesis import strategies as st

from lnet.runtime.cluster.protocol.ranking import Ranking
from lnet.runtime.cluster.protocol.records import Records

NAMES = st.text(alphabet="abc", min_size=1, max_size=3)


@given(st.lists(st.tuples(NAMES, st.one_of(st.none(), st.integers()))))
def test_records_are_a_mapping_and_those_before_stay_as_they_were(changes):
    records, expected, before = Records(), {}, []
    for name, record in changes:
        before.append((records, dict(expected)))
        if record is None:
            records = records.without(name)
            expected.pop(name, None)
        else:
            records = records.with_record(name, record)
            expected[name] = record
    for found, kept in [*before, (records, expected)]:
        assert dict(found) == kept
        assert len(found) == len(kept)
        assert Records(kept) == found
        assert set(records.beyond(found)) == set(expected) - set(kept)
        assert all(
            found.get(name) == kept.get(name) and (name in found) == (name in kept) for name in expected
        )


@given(st.dictionaries(NAMES, st.integers(0, 3), min_size=1), st.lists(st.sampled_from("abc"), max_size=12))
def test_a_ranking_gives_the_worker_with_the_fewest_roles_that_fits(counts, unfit):
    ranking = Ranking(counts, counts.__getitem__)
    for letter in unfit:
        fitting = [name for name in counts if letter not in name]
        expected = min(fitting, key=lambda name: (counts[name], name), default=None)
        assert ranking.first(counts.__getitem__, lambda name: letter not in name) == expected  # noqa: B023
        if expected is not None:
            counts[expected] += 1
