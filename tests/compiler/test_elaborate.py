"""From a module to a graph: what stands for what is left out."""

from lnet.compiler.pipeline import compile_text


def test_rica_finds_its_pool_behind_a_stage_within_its_own():
    graph = compile_text(
        "stage inner() { bent: relu() }\n"
        "stage sense() { filter: local(3, 2); within: inner(); pool: l2pool(2); learn: rica() }\n"
        "network n { image: input(9x9x1); V1: sense() }"
    ).graph
    assert [(o.path, o.reads) for o in graph.objectives] == [
        ("V1.learn.reconstruction", ("V1.learn.decode", "image")),
        ("V1.learn.sparsity", ("V1.pool",)),
    ]
