"""The public names, as the guide shows them."""

import numpy as np
import pytest

import lnet

TEXT = "network n { image: input(9x9x1); f: local(3, 2); p: l2pool(2); learn: rica() }\n"


def test_every_public_name_is_there_and_documented():
    for name in lnet.__all__:
        assert getattr(lnet, name).__doc__, name
    assert set(lnet.__all__) <= set(dir(lnet))


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        getattr(lnet, "trian")  # noqa: B009 (the point of the test)


def test_text_to_module_to_text():
    module = lnet.parse(TEXT)
    assert lnet.parse(lnet.format(module)) == module


def test_errors_carry_diagnostics():
    with pytest.raises(lnet.LnetError) as caught:
        lnet.parse("network {")
    assert caught.value.diagnostics[0].code == "E101"
    assert isinstance(caught.value.diagnostics[0], lnet.Diagnostic)


def test_errors_are_caught_by_class(tmp_path):
    with pytest.raises(lnet.InputError):
        lnet.compile(tmp_path / "none.lnet")
    with pytest.raises(lnet.RunError):
        lnet.open_run(tmp_path)
    plan = lnet.compile(lnet.parse(TEXT))
    with pytest.raises(lnet.DataError):
        lnet.train(plan, tmp_path / "none", directory=tmp_path / "a")
    images = np.random.default_rng(0).random((12, 9, 9, 1), np.float32)
    steep = lnet.compile(lnet.parse(TEXT), set={"train.update": "sgd(1e6)"})
    with pytest.raises(lnet.Diverged):
        lnet.train(steep, images, directory=tmp_path / "b")


def test_compile_train_open_and_look(tmp_path):
    plan = lnet.compile(lnet.parse(TEXT), set={"train.steps": 3, "train.batch": 4})
    images = np.random.default_rng(0).random((12, 9, 9, 1), np.float32)
    run = lnet.train(plan, data=images, directory=tmp_path / "a")
    net = lnet.open_run(tmp_path / "a").network()
    values = net(images[:2])
    assert {path: value.shape for path, value in values.items()} == {
        "image": (2, 9, 9, 1),
        "f": (2, 7, 7, 2),
        "p": (2, 6, 6, 2),
    }
    assert values["f"].dtype == np.float32
    np.testing.assert_array_equal(net["p[1, 2, 0]"](images[:2]), values["p"][:, 1, 2, 0])
    assert net.params["f.weight"].shape == (7, 7, 3, 3, 1, 2)
    net.params["f.weight"] = np.zeros((7, 7, 3, 3, 1, 2))
    assert not net(images[:2])["f"].any()
    assert run.network().params["f.weight"].any()


def test_parameters_are_a_mapping():
    net = lnet.Network(lnet.compile(lnet.parse(TEXT)))
    assert "g.weight" not in net.params
    assert net.params.get("g.weight") is None
    with pytest.raises(lnet.LnetError):
        net.params["g.weight"]
    other = lnet.Network(net.plan, dict(net.params))
    images = np.ones((1, 9, 9, 1), np.float32)
    assert other.loss(images) == net.loss(images)
