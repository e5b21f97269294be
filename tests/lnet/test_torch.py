"""The layer in PyTorch against PyTorch's own operations: `make frameworks`; skipped where PyTorch is not installed."""

import copy
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

import lnet.torch  # noqa: E402
from lnet.torch import LocallyConnected1d, LocallyConnected2d, LocallyConnectedTranspose2d  # noqa: E402

DOUBLE = {"dtype": torch.float64}
CASES = [
    {},
    {"stride": (2, 1), "padding": (1, 2)},
    {"dilation": (1, 2), "padding": "same"},
    {"groups": 2, "stride": 2, "padding": "valid"},
    {"block": (2, 3)},
    {"block": 2, "stride": 2, "padding": 1, "groups": 2, "bias": False},
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def usual(layer, input):
    """The recipe of PyTorch's users: patches by `unfold`, and one contraction with the weights of each position."""
    weight, (rows, columns), groups = layer.weight, layer.output_size, layer.groups
    stride, dilation, block = (pair(getattr(layer, name)) for name in ("stride", "dilation", "block"))
    field = weight.shape[2:4]
    if layer.padding == "same":
        around = [
            n
            for d, f in zip(dilation[::-1], field[::-1], strict=True)
            for n in (d * (f - 1) // 2, -(-d * (f - 1) // 2))
        ]
    else:
        row, column = (0, 0) if layer.padding == "valid" else pair(layer.padding)
        around = [column, column, row, row]
    patches = functional.unfold(functional.pad(input, around), field, dilation, stride=stride)
    patches = patches.reshape(len(input), groups, -1, *field, rows, columns)
    of_rows = [row // block[0] % weight.shape[0] for row in range(rows)]
    of_columns = [column // block[1] % weight.shape[1] for column in range(columns)]
    by_group = weight[of_rows][:, of_columns].unflatten(-1, (groups, -1))
    h = torch.einsum("ngcuvij,ijuvcgm->ngmij", patches, by_group).flatten(1, 2)
    return h if layer.bias is None else h + layer.bias[of_rows][:, of_columns].permute(2, 0, 1)


def pair(extent):
    return (extent, extent) if isinstance(extent, int) else extent


def gradients(value, *operands):
    """Of a sum in which no two values have one factor."""
    factors = torch.linspace(1, 2, value.numel(), **DOUBLE).view(value.shape)
    return torch.autograd.grad((value * factors).sum(), operands)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_those_of_unfold_and_einsum(case):
    layer = LocallyConnected2d(4, 6, (3, 2), input_size=(7, 8), **case, **DOUBLE)
    input = torch.randn(3, 4, 7, 8, requires_grad=True, **DOUBLE)
    found, expected = layer(input), usual(layer, input)
    torch.testing.assert_close(found, expected)
    operands = (input, *layer.parameters())
    torch.testing.assert_close(gradients(found, *operands), gradients(expected, *operands))
    torch.testing.assert_close(layer(input[0]), expected[0])


@pytest.mark.parametrize("case", CASES[1:2] + CASES[3:], ids=str)
def test_the_transpose_makes_what_the_gradient_of_the_recipe_is(case):
    layer = LocallyConnected2d(4, 6, (3, 2), input_size=(7, 8), **case | {"bias": False}, **DOUBLE)
    h = torch.randn(3, 6, *layer.output_size, **DOUBLE)
    lines = [
        (size + 2 * zeros - field) % step
        for size, zeros, field, step in zip(
            (7, 8),
            pair(0 if layer.padding == "valid" else layer.padding),
            (3, 2),
            pair(layer.stride),
            strict=True,
        )
    ]  # that no position reads: without them, the transpose makes a smaller sheet
    back = LocallyConnectedTranspose2d(
        6, 4, (3, 2), layer.stride, layer.padding, tuple(lines), layer.groups, input_size=layer.output_size,
        block=layer.block, **DOUBLE,
    )  # fmt: skip
    back.load_state_dict({"weight": layer.weight, "bias": back.bias})
    assert back.output_size == (7, 8)
    input = torch.randn(3, 4, 7, 8, requires_grad=True, **DOUBLE)
    (expected,) = torch.autograd.grad(usual(layer, input), input, h)
    torch.testing.assert_close(back(h) - back.bias.permute(2, 0, 1), expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_with_shared_weights_it_is_a_convolution(groups):
    shape = {"stride": 2, "padding": (1, 0), "dilation": (1, 2), "groups": groups}
    input, kernel = torch.randn(2, 4, 9, 8, **DOUBLE), torch.randn(6, 4 // groups, 3, 2, **DOUBLE)
    expected = functional.conv2d(input, kernel, **shape)
    found = lnet.torch.local(input, kernel.permute(2, 3, 1, 0)[None, None], **shape)
    torch.testing.assert_close(found, expected)
    back = functional.conv_transpose2d(expected, kernel, output_padding=(0, 1), **shape)
    weight = kernel.permute(2, 3, 1, 0)[None, None]
    bias = torch.randn(1, 1, 4, **DOUBLE)
    found = lnet.torch.local_transpose(expected, weight, bias, output_padding=(0, 1), **shape)
    torch.testing.assert_close(found, back + bias.view(-1, 1, 1))


def test_a_line_is_a_sheet_of_one_column():
    shape = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    line = LocallyConnected1d(4, 6, 3, input_size=11, block=2, **shape, **DOUBLE)
    input = torch.randn(3, 4, 11, **DOUBLE)
    patches = functional.pad(input, (1, 1)).unfold(2, 5, 2)[..., ::2].unflatten(1, (2, 2))
    of = [position // 2 for position in range(line.output_size)]
    weight = line.weight[of].unflatten(-1, (2, 3))
    expected = torch.einsum("ngcpu,pucgm->ngmp", patches, weight).flatten(1, 2) + line.bias[of].T
    torch.testing.assert_close(line(input), expected)
    torch.testing.assert_close(line(input[1]), expected[1])


@pytest.mark.parametrize("order", lnet.torch.ORDERS, ids=["contiguous", "channels last", "batch last"])
def test_values_stay_in_the_order_in_memory_that_they_come_in(order):
    layer = LocallyConnected2d(2, 3, 3, input_size=6)
    input = torch.randn(5, 2, 6, 6)
    inverse = [order.index(axis) for axis in range(4)]
    laid = input.permute(order).contiguous().permute(inverse).requires_grad_()
    value = layer(laid)
    torch.testing.assert_close(value, layer(input))
    assert value.permute(order).is_contiguous()
    value.relu().backward(torch.ones_like(value))
    assert laid.grad.permute(order).is_contiguous()


def test_tensors_of_any_strides_are_read_and_none_is_changed():
    layer = LocallyConnected2d(2, 3, 3, input_size=6)
    every_other = torch.randn(10, 2, 6, 8)[1::2, :, :, 1:7]
    before = every_other.clone()
    torch.testing.assert_close(layer(every_other), layer(before))
    expanded = torch.randn(1, 2, 6, 6).expand(4, -1, -1, -1)
    torch.testing.assert_close(layer(expanded), layer(expanded.contiguous()))
    assert layer(expanded[:0]).shape == (0, 3, 4, 4)
    torch.testing.assert_close(every_other, before)


def test_what_is_overwritten_after_a_call_was_read():
    layer = LocallyConnected2d(3, 8, 9, input_size=32, bias=False)
    input = torch.randn(32, 3, 32, 32)
    with torch.no_grad():
        expected = layer(input)
        for _ in range(5):
            changed = input.clone()
            value = layer(changed)
            changed.zero_()
            torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(
    "layer",
    [
        LocallyConnected2d(2, 4, 2, 2, 1, groups=2, input_size=(4, 3), **DOUBLE),
        LocallyConnected2d(1, 2, 2, input_size=4, block=2, **DOUBLE),
        LocallyConnected1d(2, 2, 3, input_size=5, dilation=2, **DOUBLE),
        LocallyConnectedTranspose2d(2, 1, 2, 2, 1, 1, input_size=(2, 3), **DOUBLE),
    ],
    ids=repr,
)
def test_derivatives_are_those_of_small_differences(layer):
    shape = (
        2,
        layer.in_channels,
        *([layer.input_size] if isinstance(layer, LocallyConnected1d) else pair(layer.input_size)),
    )
    input = torch.randn(shape, requires_grad=True, **DOUBLE)
    names = [name for name, _ in layer.named_parameters()]

    def applied(input, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (input,))

    assert torch.autograd.gradcheck(applied, (input, *layer.parameters()), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(applied, (input, *layer.parameters()), check_fwd_over_rev=True)


def test_pytorch_finds_nothing_wrong_with_the_operator():
    layer = LocallyConnected2d(2, 4, 3, input_size=5)
    input = torch.randn(3, 2, 5, 5, requires_grad=True)
    done = torch.library.opcheck(torch.ops.lnet.product.default, (input, layer.weight, *layer._layer.product))
    assert set(done.values()) == {"SUCCESS"}


def test_parameters_are_drawn_as_those_of_a_convolution():
    for ours, theirs in (
        (LocallyConnected2d(8, 6, 5, groups=2, input_size=9), torch.nn.Conv2d(8, 6, 5, groups=2)),
        (LocallyConnected1d(8, 6, 5, groups=2, input_size=90), torch.nn.Conv1d(8, 6, 5, groups=2)),
        (
            LocallyConnectedTranspose2d(8, 6, 5, groups=2, input_size=5),
            torch.nn.ConvTranspose2d(8, 6, 5, groups=2),
        ),
    ):
        for (name, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            bound = (theirs.weight.shape[1] * theirs.weight[0, 0].numel()) ** -0.5
            assert 0.8 * bound < own.abs().max() <= bound, name
            assert other.abs().max() <= bound, name
        torch.testing.assert_close(ours.weight.std().item(), bound / 3**0.5, rtol=0.03, atol=0)


def test_parameters_are_saved_and_loaded():
    layer = LocallyConnected2d(2, 3, 3, input_size=6)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = LocallyConnected2d(2, 3, 3, input_size=6)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "weight": (4, 4, 3, 3, 2, 3),
        "bias": (4, 4, 3),
    }
    input = torch.randn(2, 2, 6, 6)
    torch.testing.assert_close(other(input), layer(input), rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(layer)(input), layer(input), rtol=0, atol=0)
    shown = "in_channels=2, out_channels=3, kernel_size=3, input_size=6, bias=False"
    assert repr(LocallyConnected2d(2, 3, 3, input_size=6, bias=False)) == f"LocallyConnected2d({shown})"


def test_it_trains_as_the_usual_recipe_does():
    """A decoder behind it, too; the same values step by step."""
    encoder = LocallyConnected2d(2, 4, 3, 2, 1, input_size=8, **DOUBLE)
    decoder = LocallyConnectedTranspose2d(4, 2, 3, 2, 1, 1, input_size=4, **DOUBLE)
    ours, theirs = torch.nn.Sequential(encoder, torch.nn.ReLU(), decoder), copy.deepcopy((encoder, decoder))

    def recipe(input):
        coder, back = theirs
        h = usual(coder, input).relu()
        products = torch.einsum("nmij,ijuvcm->ncuvij", h, back.weight).flatten(1, 3).flatten(2)
        return functional.fold(products, (8, 8), 3, padding=1, stride=2) + back.bias.permute(2, 0, 1)

    losses = {}
    for name, model, parameters in (
        ("ours", ours, [*ours.parameters()]),
        ("theirs", recipe, [p for layer in theirs for p in layer.parameters()]),
    ):
        generator = torch.Generator().manual_seed(1)
        optimiser = torch.optim.Adam(parameters, 0.01)
        losses[name] = []
        for _ in range(20):
            input = torch.randn(5, 2, 8, 8, generator=generator, **DOUBLE)
            loss = (model(input) - input).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[name].append(loss.item())
    assert losses["ours"] == pytest.approx(losses["theirs"], rel=1e-9)
    assert losses["ours"][-1] < 0.9 * losses["ours"][0]


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_model_is_one_graph(backend):
    model = torch.nn.Sequential(
        LocallyConnected2d(2, 4, 3, input_size=8, block=2),
        torch.nn.ReLU(),
        LocallyConnectedTranspose2d(4, 2, 3, input_size=6),
    )
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for batch in (4, 6, 1):
        input = torch.randn(batch, 2, 8, 8, requires_grad=True)
        found, expected = compiled(input), model(input)
        torch.testing.assert_close(found, expected)
        operands = (input, *model.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(found.square().sum(), operands),
            torch.autograd.grad(expected.square().sum(), operands),
            rtol=1e-4, atol=1e-4,
        )  # fmt: skip
    function = torch.compile(lnet.torch.local, fullgraph=True, backend=backend)
    torch.testing.assert_close(
        function(input, model[0].weight, block=2), lnet.torch.local(input, model[0].weight, block=2)
    )


def test_an_exported_program_has_the_operator():
    layer = LocallyConnected2d(2, 4, 3, input_size=6)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(layer, (torch.randn(3, 2, 6, 6),), dynamic_shapes=({0: batch},))
    input = torch.randn(5, 2, 6, 6)
    torch.testing.assert_close(program.module()(input), layer(input))


def test_it_is_mapped_over_images_and_over_weights():
    layer = LocallyConnected2d(2, 4, 3, input_size=6)
    input = torch.randn(3, 2, 6, 6)
    parameters = dict(layer.named_parameters())

    def loss(parameters, image):
        return torch.func.functional_call(layer, parameters, (image,)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, input)
    for number, image in enumerate(input):
        one = torch.autograd.grad(loss(parameters, image), tuple(parameters.values()))
        torch.testing.assert_close([value[number] for value in found.values()], list(one))
    models = torch.stack([layer.weight, 2 * layer.weight])
    found = torch.func.vmap(lnet.torch.local, in_dims=(None, 0))(input, models)
    torch.testing.assert_close(found[1], 2 * found[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_that_of_the_operands(dtype):
    layer = LocallyConnected2d(2, 4, 3, input_size=6)
    input = torch.randn(3, 2, 6, 6)
    with torch.autocast("cpu", dtype):
        value = layer(input)
    assert value.dtype == dtype
    torch.testing.assert_close(value.float(), layer(input), rtol=0.02, atol=0.02)
    value.sum().backward()
    assert layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(layer.to(dtype)(input.to(dtype)), value)


def test_several_threads_call_it_at_once():
    layers = [LocallyConnected2d(2, 4, 3, input_size=6 + number % 3, **DOUBLE) for number in range(6)]

    def gradient(layer):
        input = torch.ones(3, 2, layer.input_size, layer.input_size, **DOUBLE)
        return torch.autograd.grad(layer(input).square().sum(), layer.weight)[0]

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(gradient, layers))
    torch.testing.assert_close(found, [gradient(layer) for layer in layers])


def test_on_devices_without_jax_there_are_shapes_alone():
    layer = LocallyConnected2d(2, 4, 3, input_size=6, device="meta")
    assert layer(torch.empty(3, 2, 6, 6, device="meta")).shape == (3, 4, 4, 4)


def test_the_program_of_the_document():
    text = (Path(__file__).parents[2] / "docs" / "layers.md").read_text()
    names = {"images": torch.ones(2, 3, 32, 32)}
    exec(re.search(r"```python\n(import torch.*?)```", text, re.DOTALL)[1], names)
    assert names["h"].shape == (2, 4, 10, 10)


LAYER = LocallyConnected2d(2, 4, 3, input_size=6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LocallyConnected2d(2, 4, 7, input_size=6), "a field of 7 rows does not fit into the 6 rows"),
        (lambda: LocallyConnected2d(2, 4, 3, 0, input_size=6), "expected 1 or more as 'stride', found 0"),
        (lambda: LocallyConnected2d(2, 4, 3, groups=3, input_size=6), "cannot be divided into 3 groups"),
        (lambda: LocallyConnectedTranspose2d(2, 3, 3, groups=2, input_size=6), "cannot be divided into 2 groups"),
        (lambda: LocallyConnected2d(2, 4, 3, padding="full", input_size=6), "found 'full'"),
        (lambda: LAYER(torch.ones(1, 2, 6, 7)), "expected an input of [N, 2, 6, 6] or [2, 6, 6], found [1, 2, 6, 7]"),
        (lambda: LAYER(torch.ones(6, 6)), "[N, 2, 6, 6] or [2, 6, 6], found [6, 6]"),
        (lambda: LocallyConnected1d(2, 4, 3, input_size=6)(torch.ones(1, 6)), "[N, 2, 6] or [2, 6], found [1, 6]"),
        (lambda: lnet.torch._check_device(torch.device("xpu")), "on 'xpu', a device that JAX does not have here"),
        (lambda: LAYER(torch.ones(1, 2, 6, 6, **DOUBLE)), "the input is torch.float64 on cpu, and 'weight' is torch.fl"),
        (lambda: lnet.torch.local(torch.ones(6, 6), LAYER.weight), "as 'input', found [6, 6]"),
        (
            lambda: lnet.torch.local(torch.ones(2, 6, 6), LAYER.weight, torch.ones(4)),
            "expected 'bias' as [4, 4, 4], found [4]",
        ),
        (lambda: lnet.torch.local(torch.ones(2, 6, 6).int(), LAYER.weight.int()), "floating-point numbers, found int32"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_refused(call, message):
    with pytest.raises(lnet.DataError) as caught:
        call()
    assert message in str(caught.value)
    assert str(caught.value).startswith("error E716")
