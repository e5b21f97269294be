"""Sums over weights as objectives: their formula, once a step, whole and in tiles, and what they leave alone."""

import jax
import numpy as np
import pytest
from quickly import quickly
from test_shard import check, whole

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.cut.schedule import message_counts
from lnet.compiler.pipeline import compile_text
from lnet.dsl.diagnostics import LnetWarning
from lnet.runtime.engine.evaluate import total_loss

NETWORK = """
stage s(maps, share) {
    filter: local(2, maps, bias = true, share = share)
    back:   decode(tied = true)
    own:    decode(of = filter)
    pool:   l2pool(2, of = filter)
}
network n {
    image: input(5x6x1)
    V1: s(2, none)
    V2: s(3, tile(2x3))
    d: dense(5)
    e: dense(3, bias = false)
    NORMS
    learn: rica(encode = V1.filter, pool = V1.pool)
    task: l2(e)
}
train { gradients = GRADIENTS }
"""
NORMS = {
    "weight_l2(V1, weight = 0.3)": ["V1.filter.weight", "V1.own.weight"],
    "weight_l1([V1.filter, V2, d, V2.back], weight = 0.2)": [
        "V1.filter.weight",
        "V2.filter.weight",
        "V2.own.weight",
        "d.weight",
    ],
    "weight_l2(e)": ["e.weight"],
    "weight_l1(V1.back, weight = 0.1)": ["V1.filter.weight"],
}
"""Norms, and the parameters that each counts once."""


def text_of(gradients="joint", norms=tuple(NORMS)):
    items = "\n    ".join(f"n{number}: {norm}" for number, norm in enumerate(norms))
    return NETWORK.replace("NORMS", items).replace("GRADIENTS", gradients)


def expected(norm, params):
    """The term, and its gradient by parameter."""
    weight = float(norm.partition("weight = ")[2].rstrip(")") or 1)
    weights = {name: np.asarray(params[name], float) for name in NORMS[norm]}
    if "l1" in norm:
        return weight * sum(np.abs(w).sum() for w in weights.values()), {
            name: weight * np.sign(w) for name, w in weights.items()
        }
    return weight * sum((w**2).sum() for w in weights.values()), {
        name: 2 * weight * w for name, w in weights.items()
    }


def test_norms_are_their_formula_and_so_are_their_gradients():
    with jax.enable_x64(True):
        graph, plain = (compile_text(text_of(norms=norms)).graph for norms in (NORMS, ()))
        params, images, _ = whole(graph)
        with_norms, without = (
            quickly(jax.grad(lambda p, g=g: total_loss(g, p, images[..., :1])[0]))(params)
            for g in (graph, plain)
        )
        slopes = {name: np.zeros(value.shape) for name, value in params.items()}
        terms = quickly(lambda p: [total_loss(graph, p, shown)[1] for shown in (images, images[..., :1])])(
            params
        )
        for number, norm in enumerate(NORMS):
            value, gradient = expected(norm, params)
            for found in terms:  # whatever the images, and however many
                np.testing.assert_allclose(found[f"n{number}"], value, rtol=1e-12)
            for name, slope in gradient.items():
                slopes[name] += slope
        for name, slope in slopes.items():
            np.testing.assert_allclose(with_norms[name] - without[name], slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("rows", "columns", "gradients"), [(1, 2, "joint"), (3, 1, "stage")])
def test_tiles_add_up_to_them(rows, columns, gradients):
    with jax.enable_x64(True):
        check(text_of(gradients), Size(rows, columns))


def test_more_tiles_than_positions():
    with jax.enable_x64(True):
        text = (
            "network n { image: input(3x3x1); f: local(2, 1); d: dense(2); a: weight_l2([f, d]); b: l2(d) }"
        )
        check(text, Size(2, 4))


def test_outside_of_their_stage_weights_count_and_stay():
    norm = "weight_l2(V1, weight = 0.3)"
    with jax.enable_x64(True):
        graph, plain = (compile_text(text_of("stage", norms)).graph for norms in ((norm,), ()))
        params, images, _ = whole(graph)
        (_, terms), with_norm = quickly(
            jax.value_and_grad(lambda p: total_loss(graph, p, images), has_aux=True)
        )(params)
        np.testing.assert_allclose(terms["n0"], expected(norm, params)[0])
        gradients = with_norm, quickly(jax.grad(lambda p: total_loss(plain, p, images)[0]))(params)
        jax.tree.map(np.testing.assert_array_equal, *gradients)


def test_frozen_weights_count_and_stay(tmp_path):
    text = "network n { image: input(6x6x1); f: local(3, 2, speed = 0); d: dense(2); a: weight_l2([f, d]); b: l2(d) }"
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype(np.float32)
    plan = lnet.compile(lnet.parse(f"{text} train {{ batch = 2; steps = 4 }}"))
    run = lnet.train(plan, images, directory=tmp_path / "run", prepared=True)
    begin, found = lnet.Network(plan).params, run.network().params
    np.testing.assert_array_equal(found["f.weight"], begin["f.weight"])
    assert (found["d.weight"] != begin["d.weight"]).any()
    first = next(event for event in run.events() if event.name == "step")
    total = sum(float((begin[name].astype(float) ** 2).sum()) for name in ("f.weight", "d.weight"))
    assert first.terms["a"] == pytest.approx(total, rel=1e-5)
    assert first.loss == pytest.approx(sum(first.terms.values()), rel=1e-6)


def test_a_layer_that_only_a_norm_reads_is_still_said_to_be_idle():
    text = "network n { image: input(6x6x1); f: local(3, 2); g: local(3, 2, of = image); a: weight_l2([f, g]); b: l2(g) }"
    with pytest.warns(LnetWarning) as caught:
        lnet.compile(lnet.parse(text))
    assert sorted(str(each.message).partition("warning ")[2][:4] for each in caught) == ["W201", "W502"]


def test_weights_that_are_read_ask_for_no_messages():
    plain, decayed = (
        compile_text(f"network n {{ image: input(9x9x1); f: local(3, 2); {norm} q: l1(f) }}").graph
        for norm in ("", "n: weight_l2(f);")
    )
    cuts = [partition(graph, Size(2, 2)) for graph in (plain, decayed)]
    assert cuts[0] == cuts[1]
    assert message_counts(plain, cuts[0]) == message_counts(decayed, cuts[1])


def test_a_name_stands_for_all_that_is_in_it():
    text = """
    stage s(m) { filter: local(2, m); pool: l2pool(2); own: decode(of = filter) }
    network n {
        image: input(9x9x1)
        a[3]: local(2, 2)
        V[2]: s(2)
        top: dense(3)
        x: weight_l2(a); y: weight_l1([V, top]); z: weight_l2([V[1], a[1]]); q: l2(top)
    }
    """
    reads = {objective.path: " ".join(objective.reads) for objective in compile_text(text).graph.objectives}
    assert reads["x"] == "a[0] a[1] a[2]"
    assert reads["y"] == "V[0].filter V[0].own V[1].filter V[1].own top"
    assert reads["z"] == "V[1].filter V[1].own a[1]"
