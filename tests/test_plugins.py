"""Plug-ins: what they bring works like what is built in, in tiles and on a cluster; what they lack is refused by name."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import lnetc
from plugged import no_plugins
from quickly import quickly
from small_run import furnish

import lnet
from lnet import plugin, plugin_check
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.plan import plan_from_json
from lnet.compiler.plugins.registry import brought
from lnet.dsl.diagnostics import LnetError
from lnet.plugin_check import check_plugins
from lnet.runtime.engine.evaluate import batch_last, total_loss

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin" / "divisive.py"
DOCUMENT = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
MISH, GATED = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
MEDIAN = '''
@plugin.register
class Median(plugin.ReceptiveField):
    """The median of the field, each map alone

    Example: median(3, stride = 2)
    """
    kind = "median"
    field: plugin.Extent
    stride: plugin.Extent = plugin.Size(1, 1)
    def value(self, x, inside):
        return jnp.median(self.fields(x), axis=(2, 3))
'''
MODEL = """
network own {
    image: input(12x12x1); filter: local(3, 4); norm: divisive(3, sigma = 0.2); rise: mish()
    gates: gated(3, 2, stride = 2, pad = 1); middle: median(2, stride = 2)
    learn: l2(of = middle); small: weight_l2(of = gates); quiet: l1(of = rise, weight = 0.1)
}
train { data = frames("images"); batch = 8; steps = 20; checkpoint = 5; update = adam(rate = 0.01) }
"""


@pytest.fixture(autouse=True)
def fresh():
    with no_plugins():
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch):
    furnish(tmp_path)
    (tmp_path / "own.lnet").write_text(MODEL)
    (tmp_path / "divisive.py").write_text(EXAMPLE.read_text() + GATED + MEDIAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments, status=0, **variables):
    """`lnetc` in a process of its own, which has loaded nothing yet."""
    done = subprocess.run(
        [sys.executable, "-m", "lnet", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


# --- values ----------------------------------------------------------------------------------------------


def test_all_have_the_values_of_their_formulas(folder):
    lnet.load_plugin("divisive.py")
    network = lnet.Network(compile_text(MODEL))
    network.params["gates.bias"] = np.linspace(-1, 1, 50, dtype=np.float32).reshape(5, 5, 2)
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 1)).astype(np.float32)
    found = network(images)
    x = np.asarray(found["filter"], np.float64)
    for row, column in np.ndindex(10, 10):
        window = x[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        expected = x[:, row, column] ** 2 / (0.04 + np.mean(window**2, axis=(1, 2, 3))[:, None])
        np.testing.assert_allclose(found["norm"][:, row, column], expected, rtol=1e-4)
    n = np.asarray(found["norm"], np.float64)
    np.testing.assert_allclose(found["rise"], n * np.tanh(np.logaddexp(0, n)), rtol=1e-5)
    rise = np.pad(np.asarray(found["rise"], np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    gates = np.asarray(found["gates"], np.float64)
    weight, gate, bias = (np.asarray(network.params[f"gates.{w}"]) for w in ("weight", "gate", "bias"))
    for i, j in np.ndindex(5, 5):
        seen = rise[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(2, -1)
        drive, opened = (seen @ w[i, j].reshape(36, 2) for w in (weight, gate))
        np.testing.assert_allclose(gates[:, i, j], drive / (1 + np.exp(-opened - bias[i, j])), rtol=1e-4)
    for i, j in np.ndindex(2, 2):
        middle = np.median(gates[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2], axis=(1, 2))
        np.testing.assert_allclose(found["middle"][:, i, j], middle, rtol=1e-4)
    norms = sum(float((network.params[f"gates.{w}"] ** 2).sum()) for w in ("weight", "gate"))
    losses = quickly(lambda params: total_loss(network.graph, params, batch_last(images)))
    _, terms = losses(network.params.arrays)
    assert terms["small"] == pytest.approx(norms, rel=1e-5)
    assert plugin_check._difference("own", network.graph) < 1e-5, "in tiles"


def test_everything_that_can_be_brought_is_checked_in_tiles(tmp_path):
    (tmp_path / "all.py").write_text(ALL)
    lnet.load_plugin(tmp_path / "all.py")
    found = list(check_plugins())
    assert [(c.brought.kind, c.brought.what) for c in found] == [
        ("gain", "layer"),
        ("median", "layer"),
        ("spread", "layer"),
        ("entropy", "objective"),
        ("rms", "update rule"),
    ]
    assert max(c.difference for c in found) < 1e-5
    plan = compile_text(
        "network n { image: input(9x9x2); g: gain(); m: median(5); e: entropy(m, floor = 0.1) } "
        "train { update = rms(0.1, decay = 0.8) }"
    )
    assert plan.graph.training.update.decay == 0.8
    network = lnet.Network(
        compile_text("network n { image: input(3x2x2); s: spread(4x3, stride = 2); q: l2() }")
    )
    image = np.random.default_rng(1).normal(size=(1, 3, 2, 2)).astype(np.float32)
    written, weight = np.zeros((1, 8, 5, 2)), np.asarray(network.params["s.weight"], np.float64)
    for i, j, u, v in np.ndindex(weight.shape):
        written[:, 2 * i + u, 2 * j + v] += weight[i, j, u, v] * image[:, i, j]
    np.testing.assert_allclose(network(image)["s"], written[:, 1:-1, 1:-1], rtol=1e-4, atol=1e-6)
    assert plan_from_json(plan.to_json()) == plan
    assert [p.name for p in plan.plugins] == ["all"]
    assert plan.plugins[0].version == "2.1"


ENDS = """
network n { image: input(7x8x2); f: local(3, 4, act = mish(sharpness = 2)); d: dense(5, act = mish); q: l2() }
"""


def test_a_function_of_a_position_can_end_another_layer():
    lnet.load_plugin(EXAMPLE)
    plan = compile_text(ENDS)
    assert [each.name for each in plan.plugins] == ["divisive"]
    assert plan_from_json(plan.to_json()) == plan
    as_layers = compile_text(
        ENDS.replace(", act = mish(sharpness = 2))", "); mf: mish(sharpness = 2)").replace(
            ", act = mish)", "); md: mish()"
        )
    )
    network, expected = lnet.Network(plan), lnet.Network(as_layers)
    images = np.random.default_rng(0).normal(size=(3, 7, 8, 2)).astype(np.float32)
    np.testing.assert_allclose(network(images)["f"], expected(images)["mf"], rtol=1e-6)
    gradients = expected.gradients(images)
    for name, gradient in network.gradients(images).items():
        np.testing.assert_allclose(gradient, gradients[name], rtol=1e-5, atol=1e-6)
    assert plugin_check._difference("mish", plan.graph) < 1e-5, "in tiles"


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ("act = gain", "'gain' cannot be an 'act', because it has parameters of its own"),
        ("act = halved", "'halved' cannot be an 'act', because it makes 5x6x2 of 5x6x4"),
        ("act = median(3)", "'act' of 'local' must be 'relu', 'leaky_relu'"),
    ],
)
def test_what_cannot_end_another_layer(replaced, message, tmp_path):
    halved = (
        '@plugin.register\nclass Halved(plugin.PerPosition):\n    """Half\n\n    Example: halved()\n    """\n'
    )
    halved += '    kind = "halved"\n    maps = property(lambda self: self.reads_sheet.maps // 2)\n'
    (tmp_path / "all.py").write_text(ALL + halved + "    def value(self, x):\n        return x[:, :, ::2]\n")
    lnet.load_plugin(tmp_path / "all.py")
    with pytest.raises(LnetError) as caught:
        compile_text(f"network n {{ image: input(7x8x2); f: local(3, 4, {replaced}); q: l2() }}")
    assert message in str(caught.value)


OWN_GELU = '''
from lnet import plugin

@plugin.register
class Gelu(plugin.PerPosition):
    """Twice the value

    Example: gelu()
    """
    kind = "gelu"
    def value(self, x):
        return 2 * x
'''


def test_a_kind_of_version_2_gives_way_to_one_of_a_plugin(tmp_path):
    text = "network n { x: input(3x3x1); y: gelu(); f: local(1, 1, act = gelu); q: l2() }"
    plan = compile_text(text)
    (tmp_path / "own.py").write_text(OWN_GELU)
    lnet.load_plugin(tmp_path / "own.py")
    network = lnet.Network(compile_text(text))
    network.params["f.weight"] = np.ones_like(network.params["f.weight"])
    found = network(np.ones((1, 3, 3, 1), np.float32))
    assert (found["y"] == 2).all()
    assert (found["f"] == 4).all()
    with pytest.raises(LnetError, match="was made without the plug-in 'own'"):
        plan_from_json(plan.to_json())


ALL = (
    '''
import jax, jax.numpy as jnp
from dataclasses import dataclass
from lnet import plugin

__version__ = "2.1"

@plugin.register
class Gain(plugin.PerPosition):
    """A factor for each map, which is learned

    Example: gain()
    """
    kind = "gain"
    def weights(self):
        return {"gain": plugin.Weights((self.reads_sheet.maps,), ("map",), None)}
    def value(self, x, gain):
        return x * (1 + gain)[:, None]

'''
    + MEDIAN
    + '''
@plugin.register
class Spread(plugin.ProjectiveField):
    """Each position writes its own multiples of its values into its field

    Example: spread(4x3, stride = 2)
    """
    kind = "spread"
    field: plugin.Extent
    stride: plugin.Extent = plugin.Size(1, 1)
    pad = plugin.Padding(zeros=plugin.Size(1, 1))
    def weights(self):
        shape = (self.positions.rows, self.positions.columns, self.field.rows, self.field.columns)
        weight = plugin.Weights(shape, ("row", "column", "field row", "field column"), 1)
        return {"weight": weight, "gain": plugin.Weights((self.reads_sheet.maps,), ("map",), None, fill=1.0)}
    def value(self, x, weight, gain):
        return (gain[:, None] * x)[:, :, None, None] * weight[..., None, None]

@plugin.register
class Entropy(plugin.PerValue):
    """Sum of `log(floor + x^2)`

    Example: entropy(floor = 0.5)
    """
    kind = "entropy"
    floor: plugin.Positive = 1.0
    def value(self, x):
        return jnp.log(self.floor + x**2)

@plugin.register
@dataclass(frozen=True)
class RMSprop(plugin.Update):
    """Rate times the gradient over the root of its mean square

    Example: rms(rate = 0.01, decay = 0.9)
    """
    kind = "rms"
    rate: plugin.Positive
    decay: plugin.Positive = 0.9
    schedule: plugin.Schedule = "constant"
    stale: plugin.Stale = "full"
    @property
    def slots(self):
        return 1
    def transformation(self, rate):
        import optax
        return optax.rmsprop(rate, decay=self.decay)
'''
)


# --- wrong ones ------------------------------------------------------------------------------------------

SOUND = '''
import jax.numpy as jnp
from lnet import plugin

@plugin.register
class Blur(plugin.ReceptiveField):
    """The mean of three rows, with a factor of its own at every position

    Example: blur()
    """
    kind = "blur"
    @property
    def field(self):
        return plugin.Size(3, 1)
    pad = plugin.Padding("same")
    def weights(self):
        shape = (self.positions.rows, self.positions.columns)
        return {"gain": plugin.Weights(shape, ("row", "column"), None, fill=1.0)}
    def value(self, x, inside, gain):
        return (x[:-2] + x[1:-1] + x[2:]) / 3 * gain[..., None, None]
'''


@pytest.mark.parametrize(
    ("part", "wrong", "message"),
    [
        ('kind = "blur"', "", "the plug-in's class 'Blur' has no kind"),
        ('kind = "blur"', 'kind = "local"', "there is a layer 'local' already, of lnet"),
        ("def value(", "def values(", "has no value"),
        ("def field(", "def fields(", "has no field 'field'"),
        ("Example: blur()", "", "has no example"),
        ("Example: blur()", "Example: blur(3)", "'blur' takes"),
        ('kind = "blur"', 'kind = "blur"; rows: int = 3', "has no type of the language for 'rows'"),
        ("plugin.ReceptiveField", "dict", "'Blur' cannot be registered"),
        ("/ 3", "/ 3 + nothing", "blur.py, line 20: NameError: name 'nothing' is not defined"),
        ("/ 3", "@ x", "blur.py, line 20: ValueError"),
        ("Size(3, 1)", "Size(self.rows, 1)", "'field' of the plug-in's class 'Blur' failed"),
        ("import jax.numpy", "import no_such_module", "blur.py, line 2: ModuleNotFoundError"),
        ("@plugin.register", "@plugin.register(", "SyntaxError"),
        (
            "x[2:]) / 3 * gain",
            "x[2:])[1:] / 3 * gain[1:]",
            "'value' of the plug-in 'blur' returned 11x11x2x3, expected 12x11x2x3",
        ),
        ("return (x", "return jnp.log(-1.0) * (x", "not finite"),
        (
            "return (x",
            "return jnp.arange(len(x) - 2.0)[:, None, None, None] * (x",
            "has another loss in 2x3 tiles than whole",
        ),
        (
            "= (self.positions.rows, ",
            "= (3, ",
            "'gain' of the plug-in 'blur' do not fit: the layer has 12x11 positions",
        ),
        ('("row", "column")', '("row", "row")', "each extent needs an axis with a name of its own"),
        ('("row", "column")', '("column", "row")', "those of positions begin with 'row' and 'column'"),
        ('("row", "column")', '("y", "x")', "can be computed whole, but not in 2x3 tiles"),
    ],
)
def test_a_plugin_that_lacks_something_is_refused(part, wrong, message, tmp_path):
    assert SOUND.count(part) == 1
    file = tmp_path / "blur.py"
    file.write_text(SOUND.replace(part, wrong))
    result = lnetc("--plugin", file, "plugins", status=1)
    assert message in result.output
    assert ("E610" in result.output) != ("'blur' takes" in result.output)


def test_a_sound_one_is_not(tmp_path):
    file = tmp_path / "blur.py"
    file.write_text(SOUND)
    assert "blur   layer   blur" in lnetc("--plugin", file, "plugins").output


def test_a_rule_that_keeps_more_than_it_says_is_refused(tmp_path):
    (tmp_path / "all.py").write_text(ALL.replace("return 1\n", "return 2\n"))
    result = lnetc("--plugin", tmp_path / "all.py", "plugins", status=1)
    assert "the update rule 'rms' keeps 1 arrays of a parameter's shape, and says 2" in result.output


def test_a_rule_that_goes_by_whole_arrays_is_refused(tmp_path):
    """Tiles and servers hold parts: there it would be another rule."""
    of_wholes = "return optax.chain(optax.scale_by_trust_ratio(), optax.rmsprop(rate, decay=self.decay))"
    (tmp_path / "all.py").write_text(ALL.replace("return optax.rmsprop(rate, decay=self.decay)", of_wholes))
    result = lnetc("--plugin", tmp_path / "all.py", "plugins", status=1)
    assert "E610: the update rule 'rms' changes a part of an array otherwise than the whole" in result.output


def test_a_rule_without_a_field_of_every_rule_is_refused(tmp_path):
    (tmp_path / "all.py").write_text(ALL.replace('    stale: plugin.Stale = "full"\n', ""))
    result = lnetc("--plugin", tmp_path / "all.py", "plugins", status=1)
    assert "the plug-in's class 'RMSprop' has no field 'stale'" in result.output


def test_a_file_that_is_not_there_is_said_without_a_place_in_the_library(tmp_path):
    for name, said in (
        (str(tmp_path / "no.py"), "FileNotFoundError"),
        ("no.such.module", "ModuleNotFoundError"),
    ):
        result = lnetc("--plugin", name, "plugins", status=1)
        assert f" = note: {said}: " in result.output


def test_arguments_that_make_no_sense_are_refused_with_their_place(tmp_path):
    refusing = """    def __post_init__(self):
        raise plugin.Refused("E610", "'blur' makes no sense here", argument="of")
    @property
"""
    (tmp_path / "blur.py").write_text(SOUND.replace("    @property\n", refusing))
    (tmp_path / "a.lnet").write_text("network n {\n  x: input(5x5x1)\n  b: blur(of = x)\n  q: l2()\n}\n")
    result = lnetc("--plugin", tmp_path / "blur.py", "check", tmp_path / "a.lnet", status=1)
    assert "a.lnet:3:16: error E610: 'blur' makes no sense here" in result.output


def test_two_plugins_do_not_bring_the_same_kind(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(SOUND)
    result = lnetc("--plugin", tmp_path / "one.py", "--plugin", tmp_path / "two.py", "plugins", status=1)
    assert "there is a layer 'blur' already, of the plug-in 'one'" in result.output


def test_a_class_of_the_program_itself_can_be_registered_again():
    """A notebook's cell is run again and again."""
    for _ in range(2):

        @plugin.register
        class Twice(plugin.PerPosition):
            """Twice the value

            Example: twice()
            """

            kind = "twice"

            def value(self, x):
                return 2 * x

    network = lnet.Network(compile_text("network n { x: input(3x3x1); y: twice(); q: l2() }"))
    assert (network(np.ones((1, 3, 3, 1), np.float32))["y"] == 2).all()


SOURCE = """
import numpy as np
from lnet import plugin

def open_raw(place):
    return np.frombuffer(place.path.read_bytes(), np.uint8).reshape(-1, 12, 12, 1)

plugin.register(plugin.Source("raw", "raw file", open_raw, {".raw"}))
plugin.register(plugin.Section("steps", "Steps taken", lambda material: str(len(material.history.steps))))
"""


def test_a_source_and_a_section_of_the_report(folder):
    (folder / "raw.py").write_text(SOURCE)
    rng = np.random.default_rng(0)
    (folder / "a.raw").write_bytes(rng.integers(0, 256, (9, 12, 12), dtype=np.uint8).tobytes())
    listed = command("--plugin", "raw.py", "plugins")
    assert "raw     data source      raw" in listed
    assert "steps   report section   raw" in listed
    load = ("--plugin", "raw.py", "--plugin", "divisive.py")
    assert "9 images in '" in command(*load, "run", "own.lnet", "-d", "a", "--data", "a.raw")
    command(*load, "report", "a")
    page = Path("a/report.html").read_text()
    assert '<h2 id="steps">Steps taken</h2>' in page


def test_a_run_names_the_plugin_that_reads_its_images(folder):
    (folder / "raw.py").write_text(SOURCE)
    rng = np.random.default_rng(0)
    (folder / "a.raw").write_bytes(rng.integers(0, 256, (9, 12, 12), dtype=np.uint8).tobytes())
    command("--plugin", "raw.py", "--plugin", "divisive.py", "run", "own.lnet", "-d", "a", "--data", "a.raw")
    missing = command("--plugin", "divisive.py", "resume", "a", "--steps", "30", status=1)
    assert "E606" in missing
    assert "the run 'a' needs plug-ins that this process does not have" in missing
    assert "the plug-in 'raw' (SHA-256 " in missing
    assert "lnetc --plugin a/plugins/raw.py ..." in missing
    (folder / "raw.py").write_text(SOURCE + "# changed")
    load = ("--plugin", "divisive.py", "--plugin")
    assert "its source is another" in command(*load, "raw.py", "resume", "a", "--steps", "30", status=1)
    assert "trained: a" in command(*load, "a/plugins/raw.py", "resume", "a", "--steps", "30")
    command(*load, "raw.py", "draw", "a", "norm[3, 3, 0]", "--data", "images")


def test_a_run_that_goes_on_with_other_images_keeps_their_plugin(folder):
    command("--plugin", "divisive.py", "run", "own.lnet", "-d", "a")
    (folder / "raw.py").write_text(SOURCE)
    rng = np.random.default_rng(0)
    (folder / "a.raw").write_bytes(rng.integers(0, 256, (9, 12, 12), dtype=np.uint8).tobytes())
    load = ("--plugin", "raw.py", "--plugin", "divisive.py")
    other = ("resume", "a", "--data", "a.raw", "--other-images", "--steps")
    command(*load, *other, "30")
    assert Path("a/plugins/raw.py").read_text() == SOURCE
    assert "E606" in command("--plugin", "divisive.py", "resume", "a", "--steps", "40", status=1)


def test_a_section_that_fails_is_no_traceback(folder):
    (folder / "raw.py").write_text(SOURCE.replace("len(material.history.steps)", "material.nothing"))
    load = ("--plugin", "raw.py", "--plugin", "divisive.py")
    command(*load, "run", "own.lnet", "-d", "a", "--steps", "5")
    said = command(*load, "report", "a", status=1)
    assert "the plug-in's report section 'steps' failed" in said
    assert "raw.py, line 9: AttributeError" in said


def test_a_source_does_not_take_the_name_of_another(folder):
    (folder / "raw.py").write_text(SOURCE.replace('Source("raw"', 'Source("video"'))
    assert (
        "there is a data source 'video' already, of lnet"
        in lnetc("--plugin", "raw.py", "plugins", status=1).output
    )


def test_the_document_names_everything_that_a_plugin_is_written_with(folder):
    for name in set(plugin.__all__) - {"register", "load_plugin"}:
        assert f"`{name}" in DOCUMENT or f"plugin.{name}" in DOCUMENT, name
    for number, program in enumerate((MISH, GATED)):
        Path(f"my_layers{number}.py").write_text(program)
        lnet.load_plugin(f"my_layers{number}.py")
    assert [each.kind for each in brought()] == ["mish", "gated"]


# --- plans and runs --------------------------------------------------------------------------------------


def test_a_run_keeps_its_plugin_and_cannot_be_opened_without_it(folder):
    assert "trained: a" in command("--plugin", "divisive.py", "run", "own.lnet", "-d", "a")
    missing = command("resume", "a", status=1)
    assert "E606" in missing
    assert "the plug-in 'divisive' (SHA-256 " in missing
    assert "lnetc --plugin a/plugins/divisive.py ..." in missing
    with open("divisive.py", "a") as file:
        file.write("# changed\n")
    changed = command("--plugin", "divisive.py", "report", "a", status=1)
    assert "E606" in changed
    assert "its source is another" in changed
    kept = "a/plugins/divisive.py"
    assert "trained: a" in command("--plugin", kept, "resume", "a", "--steps", "30")
    assert "a/report.html" in command("report", "a", LNET_PLUGINS=kept)
    assert "divisive" in Path("a/report.html").read_text()
    command("--plugin", kept, "export", "a", "-o", "w.npz")
    command("--plugin", kept, "draw", "a", "norm[3, 3, 0]", "--data", "images")
    assert list(Path("a/pictures").glob("*.png"))


def test_a_plan_of_another_digest_says_that_it_is_damaged(folder):
    lnet.load_plugin("divisive.py")
    data = json.loads(lnet.compile("own.lnet").to_json())
    data["plan"]["plugins"] = 3
    with pytest.raises(LnetError, match=r"plan\.plugins: expected a list"):
        plan_from_json(json.dumps(data))


def parameters(directory):
    network = lnet.open_run(directory).network()
    return {name: np.asarray(value) for name, value in network.params.items()}


@pytest.mark.slow
def test_tiles_on_a_cluster_learn_what_one_process_does(folder):
    command("--plugin", "divisive.py", "run", "own.lnet", "-d", "one")
    command(
        "--plugin", "divisive.py", "run", "own.lnet", "-d", "four", "--cluster", "--set", "train.staleness=0"
    )
    command("--plugin", "divisive.py", "compile", "own.lnet", "--tiles", "2x2")
    command("--plugin", "divisive.py", "run", "own.plan", "-d", "tiles", "--cluster")
    lnet.load_plugin("divisive.py")
    for other in ("four", "tiles"):
        for name, value in parameters("one").items():
            np.testing.assert_allclose(parameters(other)[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


def test_gradients_go_through_a_plugin_of_a_module(folder, monkeypatch):
    """A plug-in that is a package, by its name: `LNET_PLUGINS=own_layers.smooth`."""
    package = folder / "own_layers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "smooth.py").write_text(ALL)
    monkeypatch.syspath_prepend(folder)
    lnet.load_plugin("own_layers.smooth")
    plan = compile_text("network n { image: input(9x9x2); f: local(3, 2); m: median(5); e: l2() }")
    assert [(p.name, p.version) for p in plan.plugins] == [("own_layers", "")]
    network = lnet.Network(plan)
    images = np.random.default_rng(1).normal(size=(2, 9, 9, 2)).astype(np.float32)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(network.gradients(images)))
