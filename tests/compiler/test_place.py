import networkx as nx
import pytest

import lnet
from lnet.compiler.cut.cluster_spec import ClusterSpec, Worker, read_cluster_spec
from lnet.compiler.cut.cost import tile_costs
from lnet.compiler.cut.place import place, traffic
from lnet.dsl.diagnostics import LnetError

PROGRAM = "network n { image: input(40x40x2); f: local(5, 4); p: l2pool(3); g: local(5, 4); q: l2() }\n"
CLUSTER = """
[links]
within  = { latency = 2e-5, bandwidth = 8e9 }
between = { latency = 1e-4, bandwidth = 1e9 }

[[hosts]]
name = "a"
workers = 2
memory = 64e6

[[hosts]]
name = "b"
workers = 2
memory = 64e6
"""


def plan_of(**layout):
    return lnet.compile(lnet.parse(PROGRAM), **layout)


def cluster(tmp_path, text):
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    return path


def test_every_shard_has_one_home_and_servers_live_with_their_tile():
    plan = plan_of(workers=8, replicas=2)
    homes = [home for replica in plan.placement.tiles for home in replica]
    assert sorted(homes) == list(range(8))
    for tile, server in enumerate(plan.placement.servers):
        assert server in [replica[tile] for replica in plan.placement.tiles]


def test_left_over_workers_are_spares():
    plan = plan_of(workers=7, replicas=3)
    assert plan.partition.count == 2
    assert len(plan.placement.spares) == 1


def test_more_tiles_than_workers_share_them():
    spec = ClusterSpec(tuple(Worker(f"w{i}", "a") for i in range(2)))
    plan = plan_of(tiles="2x2")
    placed = place(plan.partition, tile_costs(plan.graph, plan.partition), 1, plan.graph.training, spec)
    assert sorted(placed.tiles[0]) == [0, 0, 1, 1]


def test_neighbours_share_a_host(tmp_path):
    """Four tiles on two hosts: each host gets a row or a column, never a diagonal."""
    path = cluster(tmp_path, CLUSTER)
    plan = plan_of(cluster_spec=path, tiles="2x2", set={"train.batch": 10})
    hosts = [plan.placement.cluster.workers[home].host for home in plan.placement.tiles[0]]
    assert hosts[0] != hosts[3]
    assert sorted(hosts) == ["a", "a", "b", "b"]


def test_placement_cuts_no_more_than_the_best_bisection(tmp_path):
    path = cluster(tmp_path, CLUSTER.replace("workers = 2", "workers = 8"))
    plan = plan_of(cluster_spec=path, tiles="4x4", set={"train.batch": 10})
    graph = traffic(plan.partition, 1, plan.graph.training)
    workers = plan.placement.cluster.workers
    sides = {(0, t): workers[home].host for t, home in enumerate(plan.placement.tiles[0])}
    cut = sum(d["bytes"] for u, v, d in graph.edges(data=True) if sides[u] != sides[v])
    found = min(
        nx.cut_size(
            graph,
            *nx.algorithms.community.kernighan_lin_bisection(graph, weight="bytes", seed=s),
            weight="bytes",
        )
        for s in range(5)
    )
    assert cut <= found * 1.001


def test_too_little_memory(tmp_path):
    path = cluster(tmp_path, CLUSTER.replace("64e6", "1e6"))
    with pytest.raises(LnetError) as caught:
        plan_of(cluster_spec=path)
    text = str(caught.value)
    assert text.startswith("error E603: the workers have too little memory: ")
    assert "bytes are needed, 4,000,000 are there" in text
    assert "take more workers, more tiles, a smaller batch or fewer replicas" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[hosts]", "is not TOML"),
        ("", "has no 'hosts' in the file"),
        ("hosts = []", "has no workers"),
        ("[[hosts]]\nworkers = 2", "has no 'name' in [[hosts]]"),
        ("[[hosts]]\nname = 3", "has 3 as 'name' of [[hosts]], which is of the wrong type"),
        ("[[hosts]]\nname = 'a'\nworkers = 0", "has a host 'a' with 0 workers"),
        ("[[hosts]]\nname = 'a'\nworker = 2", "has 'worker' in [[hosts]]"),
        (
            "[links]\nwithin = { latency = 1, bandwidth = 0 }\n[[hosts]]\nname = 'a'",
            "has a link in links.within of 1 s and 0 bytes/s",
        ),
        (
            "[links]\nwithin = { latency = 1, bandwidth = nan }\n[[hosts]]\nname = 'a'\n",
            "has a link in links.within of 1 s and nan bytes/s",
        ),
        ("[[hosts]]\nname = 'a'\nmemory = inf\n", "has a host 'a' with 1 workers of inf bytes"),
        (
            "[[hosts]]\nname = 'a'\n[[hosts]]\nname = 'b'\n[[hosts]]\nname = 'a'\n",
            "has the host 'a' twice",
        ),
        (
            "[[hosts]]\nname = 'a'\n[[pairs]]\nhosts = ['a', 'c']\nlatency = 1\nbandwidth = 1",
            "expected two hosts that are declared",
        ),
        ("hosts = 3", "has 3 as 'hosts' of the file"),
        ("[[hosts]]\nname = 'a'\n[links]\nwithin = 3", "has no table where links.within should be one"),
    ],
)
def test_wrong_descriptions_of_clusters(tmp_path, text, message):
    with pytest.raises(LnetError) as caught:
        read_cluster_spec(cluster(tmp_path, text))
    assert "E604" in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_description(tmp_path):
    with pytest.raises(LnetError, match=r"E604.*cannot be read"):
        read_cluster_spec(tmp_path / "none.toml")


def test_links_of_pairs(tmp_path):
    text = CLUSTER + '[[pairs]]\nhosts = ["b", "a"]\nlatency = 1e-3\nbandwidth = 1e8\n'
    spec = read_cluster_spec(cluster(tmp_path, text))
    assert spec.link("a", "b").bandwidth == 1e8
    assert spec.link("a", "a").bandwidth == 8e9


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"workers": 2, "replicas": 3}, "3 replicas need at least 3 workers, found 2"),
        ({"tiles": "2by2"}, "tiles are rows x columns such as 2x3, found '2by2'"),
        ({"tiles": "0x2"}, "found '0x2'"),
    ],
)
def test_layouts_that_cannot_be(layout, message):
    with pytest.raises(LnetError, match=rf"E609.*{message}"):
        plan_of(**layout)
