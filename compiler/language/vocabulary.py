"""The language's names and those of other frameworks: hints for unknown names.

A foreign name is looked up without case, underscores and dimensions: `Conv2d`, `conv_2d` and `conv` are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lnet.compiler.core.arguments import ArgumentType, listed, signature, stands_bare
from lnet.compiler.core.values import Value, Word
from lnet.compiler.rules import RULES
from lnet.compiler.words import TRAIN
from lnet.dsl.diagnostics import did_you_mean


def kind_hints(name: str, kinds: Iterable[str]) -> tuple[str, ...]:
    """Return hints for an unknown kind."""
    return _suggested(name, kinds, KINDS)


def call_hints(name: str, calls: Iterable[str]) -> tuple[str, ...]:
    """Return hints for an unknown function in a value."""
    return _suggested(name, calls, FUNCTIONS)


def argument_hints(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return hints for an unknown argument."""
    known = tuple(known)
    meant = next((own for own in ARGUMENTS.get(_key(name), ()) if own in known), name)
    return did_you_mean(meant, known)


def setting_hints(name: str) -> tuple[str, ...]:
    """Return hints for an unknown setting of `train`."""
    owners = [
        (setting.name, owner)
        for setting in TRAIN.given
        if isinstance(setting.type, ArgumentType)
        for owner, function in setting.type.calls.items()
        if name in (row.name for row in signature(owner, function).given)
    ]
    key = _key(name)
    if owners and key not in SETTINGS:
        places = ", ".join(f"'{owner}'" for _, owner in owners)
        setting, first = owners[0]
        return (f"'{name}' is an argument of {places}: write it there, in '{setting} = {first}(...)'",)
    return _suggested(name, (row.name for row in TRAIN.given), SETTINGS)


def option_hint(option: str) -> str | None:
    """Return a hint for a command-line option that is a setting of the file."""
    name = option.lstrip("-").replace("-", "_")
    if name in (row.name for row in TRAIN.given):
        return f"Write '--set train.{name}=...'."
    key = _key(name)
    return f"It is a setting of the file: {_foreign(SETTINGS, key)}" if key in SETTINGS else None


def value_hints(name: str, known: Iterable[str], calls: Mapping[str, Callable[..., Any]]) -> tuple[str, ...]:
    """Return hints for an unknown bare name; `calls` make the type wanted there."""
    for call, function in calls.items():
        if name.casefold() == call and not stands_bare(call, function):
            needed = ", ".join(f"{row.name} = ..." for row in signature(call, function).given if row.required)
            return (f"write '{call}({needed})'",)
    return _suggested(name, known, VALUES)


def mismatch_hints(value: Value, wanted: ArgumentType, words: Iterable[str]) -> tuple[str, ...]:
    """Return hints for a value of another type than is wanted; `words` are those that are."""
    if isinstance(value, Word):
        return did_you_mean(value.text, words)
    if isinstance(value, str) and value in words:
        return (f"a word stands without quotes: {value}",)
    is_list = "list" in wanted.expected
    if (
        not is_list
        and isinstance(value, tuple)
        and len(value) in (2, 3)
        and all(type(x) is int for x in value)
    ):
        return (f"a size is written {'x'.join(map(str, value))}",)
    return ()


def _suggested(name: str, known: Iterable[str], foreign: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hint for a name of another framework, or else the names that are close."""
    known = tuple(known)
    key = _key(name)
    if name.casefold() not in known and key in foreign:
        return (_foreign(foreign, key),)
    return did_you_mean(key if key in known else name, known)


def _foreign(table: Mapping[str, str], key: str) -> str:
    """Return the hint for a name of another framework; raises KeyError."""
    return table[key].replace("{rules}", listed([f"'{rule}'" for rule in RULES], "and"))


def _key(name: str) -> str:
    return re.sub(r"[123]d|layer$|_", "", name.casefold())


# --- names of other frameworks ---------------------------------------------------------------------------


def _named(*entries: tuple[str, str]) -> dict[str, str]:
    """Return the hint of every name: each entry has names, with blanks between them, and their hint."""
    return {name: hint for names, hint in entries for name in names.split()}


ACTS = _named(
    ("leakyrelu lrelu leaky", "write 'leaky_relu(slope = 0.01)'"),
    ("prelu rrelu", "write 'leaky_relu(slope = 0.25)': its slope is not trained"),
    ("selu celu", "write 'elu(alpha = 1)': of the functions of the language it is nearest"),
    ("swish", "write 'silu()', which is another name for it"),
    ("mish hardswish hardsilu quickgelu", "write 'silu()': of the functions of the language it is nearest"),
    ("newgelu gelutanh", "write 'gelu()'"),
    ("relu6 thresholdedrelu", "write 'relu()': of the functions of the language it is nearest"),
    ("hardtanh softsign", "write 'tanh()': of the functions of the language it is nearest"),
    ("logistic logit expit hardsigmoid", "write 'sigmoid()'"),
    ("absolute fabs modulus", "write 'abs()'"),
)
"""Hints for functions of other frameworks, as layers and as the `act` of others."""

KINDS = ACTS | _named(
    (
        "conv convolution convolutional",
        "write 'local(field, maps, share = all)': a convolution is a local layer whose positions share their weights",
    ),
    (
        "convtranspose convtransposed transposedconv deconv deconvolution",
        "write 'transposed(field, maps, stride)', or 'decode(like = LAYER)' for the transpose of a layer that there is",
    ),
    (
        "locallyconnected unsharedconv localconv lc",
        "write 'local(field, maps)': every position learns its own weights",
    ),
    (
        "linear fc fullyconnected innerproduct affine mlp",
        "write 'dense(units)': every unit reads the whole sheet",
    ),
    ("flatten reshape view permute squeeze", "leave it out: 'dense' reads a whole sheet as it is"),
    (
        "spatialdropout alphadropout gaussiandropout dropblock",
        "write 'dropout(rate)': units are dropped one by one",
    ),
    (
        "rmsnorm normalization normalize norm",
        "write 'lcn(field)', 'layernorm()' or 'batchnorm()': these are the normalisations that the language has",
    ),
    ("batchnormalization bn", "write 'batchnorm()'"),
    ("layernormalization", "write 'layernorm()'"),
    (
        "groupnorm groupnormalization instancenorm instancenormalization",
        "write 'layernorm(groups = 32, scale = map, shift = map)', with as many groups as maps for an instance norm",
    ),
    ("localresponsenorm localresponsenormalization", "write 'lrn(size)'"),
    ("logsoftmax", "leave it out: 'cross_entropy' reads the values before the softmax"),
    (
        "maxpool maxpooling",
        "write 'maxpool(field, stride = field)': the stride is 1 unless it is given",
    ),
    (
        "avgpool averagepool averagepooling avgpooling meanpool",
        "write 'avgpool(field, stride = field)': the stride is 1 unless it is given",
    ),
    ("lppool pool pooling", "write 'l2pool(field)', 'maxpool(field)' or 'avgpool(field)'"),
    (
        "globalavgpool globalaveragepool globalaveragepooling adaptiveavgpool gap",
        "write 'avgpool(size(LAYER.height, LAYER.width))', with the extents of the layer that it reads",
    ),
    (
        "globalmaxpool globalmaxpooling adaptivemaxpool",
        "write 'maxpool(size(LAYER.height, LAYER.width))', with the extents of the layer that it reads",
    ),
    ("activation act", "write the function itself, such as 'relu()' or 'leaky_relu(slope = 0.1)'"),
    (
        "mse mseloss meansquarederror",
        "write 'mean_squared_error(of, target = LAYER)', or 'squared_error(of, target = LAYER)' for the sum",
    ),
    (
        "l2loss squarederrorloss",
        "write 'squared_error(of, target = LAYER)', or 'l2()' for the squares of one layer",
    ),
    ("mae l1loss meanabsoluteerror", "write 'l1()': the sum of absolute values of a layer"),
    (
        "crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy nll nllloss softmaxcrossentropy "
        "softmaxloss",
        "write 'cross_entropy()', which reads the values before the softmax",
    ),
    (
        "bce bceloss bcewithlogits bcewithlogitsloss binarycrossentropy sigmoidcrossentropy",
        "write 'one_vs_all()', which reads the values before the sigmoid",
    ),
    (
        "weightdecay l2regularization l2regularizer kernelregularizer regularizer",
        "write 'weight_l2(LAYERS, weight = 0.0005)': the sum of squares of their weights",
    ),
    ("concatenate cat merge stack", "write 'concat([left, right])'"),
    ("sum plus residual shortcut", "write 'add([left, right])'"),
    ("centercrop cropping slice", "write 'crop(size)': the central rows and columns"),
    (
        "pixelshuffle subpixel subpixelconv",
        "write 'depth_to_space(block)': a block's maps are the last to change, as TensorFlow orders them",
    ),
    ("pixelunshuffle", "write 'space_to_depth(block)'"),
    (
        "zeropadding zeropad constantpad padding",
        "write 'pad(top, bottom, left, right)', or 'pad = ...' in the layer that reads it",
    ),
    ("replicationpad replicatepad", "write 'pad(top, bottom, left, right, fill = edge)'"),
    (
        "reflectionpad reflectpad mirrorpad",
        "write 'pad(top, bottom, left, right, fill = reflect)'",
    ),
    ("circularpad periodicpad wrappad roll", "write 'pad(top, bottom, left, right, fill = wrap)'"),
    (
        "sequential module block model",
        "write 'stage NAME(PARAMETERS) { ... }' beside the network, and its name here",
    ),
)
"""Hints for kinds of other frameworks."""

FUNCTIONS = ACTS | _named(
    (
        "before after",
        "write 'pad(top, bottom, left, right)', a layer, before this one: each side has its own width",
    ),
    (
        "nadam radam lamb adadelta adamax adafactor lbfgs ftrl",
        "write 'adam(rate = 0.001)': of these rules it is nearest",
    ),
    ("momentum nesterov", "write 'sgd(rate, momentum = 0.9)'"),
    ("imagefolder images dataset folder dataloader video", "write 'frames(\"PATH\")'"),
)
"""Hints for functions of other frameworks."""

ARGUMENTS = {
    "kernel": ("field",),
    "kernelsize": ("field",),
    "filtersize": ("field",),
    "poolsize": ("field",),
    "ksize": ("field",),
    "window": ("field",),
    "size": ("field",),
    "filters": ("maps", "units"),
    "channels": ("maps", "units"),
    "outchannels": ("maps", "units"),
    "features": ("maps", "units"),
    "outfeatures": ("maps", "units"),
    "numoutput": ("maps", "units"),
    "strides": ("stride",),
    "dilationrate": ("dilation",),
    "group": ("groups",),
    "numgroups": ("groups",),
    "outputpadding": ("extra",),
    "padding": ("pad",),
    "zeros": ("pad",),
    "usebias": ("bias",),
    "activation": ("act",),
    "nonlinearity": ("act",),
    "epsilon": ("eps",),
    "initializer": ("init",),
    "kernelinitializer": ("init",),
    "weightinit": ("init",),
    "constraint": ("constrain",),
    "kernelconstraint": ("constrain",),
    "lrmult": ("speed",),
    "trainable": ("speed",),
    "input": ("of",),
    "inputs": ("of",),
    "lr": ("rate",),
    "learningrate": ("rate",),
    "eta": ("rate",),
    "folder": ("path",),
    "directory": ("path",),
    "root": ("path",),
    "classes": ("labels", "units"),
}
"""lnet's names for arguments of other frameworks; the first one that a call has is suggested."""

SETTINGS = _named(
    (
        "lr learningrate eta baselr stepsize",
        "write it in the update rule: 'update = adam(rate = 0.001)'",
    ),
    (
        "optimizer optimiser optim solver rule",
        "write 'update = adam(rate = 0.001)': the update rules are {rules}",
    ),
    ("epoch numepochs nepochs maxepochs passes", "did you mean 'epochs'?"),
    (
        "gradientaccumulation gradientaccumulationsteps accumulationsteps accumulategradbatches itersize",
        "did you mean 'accumulate'?",
    ),
    (
        "clipvalue clipnorm clipgrad gradclip gradientclip gradientclipval gradientclipping maxgradnorm globalclipnorm",
        "write 'clip = 1.0', the greatest norm of all gradients together, or 'clip = each(1.0)', of each array",
    ),
    ("batchsize minibatch bs", "did you mean 'batch'?"),
    ("iterations maxiter numsteps maxsteps trainsteps numiterations", "did you mean 'steps'?"),
    ("dataset images folder files trainset", "write 'data = frames(\"PATH\")'"),
    ("randomseed randomstate manualseed", "did you mean 'seed'?"),
    ("dtype amp mixedprecision fp16 bf16 halfprecision", "did you mean 'precision'?"),
    ("saveevery checkpointevery saveinterval", "did you mean 'checkpoint'?"),
    (
        "loss losses criterion objective metrics",
        "objectives are items of the network, such as 'learn: cross_entropy()'",
    ),
    (
        "scheduler lrschedule",
        "write it in the update rule: 'update = adam(rate = 0.001, schedule = cosine)'",
    ),
    (
        "warmupsteps warmupepochs rampup",
        "write it in the update rule: 'update = adam(rate = 0.001, rise = 500)'",
    ),
    (
        "weightdecay l2 regularization regularizer",
        "write it in the update rule: 'update = adamw(rate = 0.001, weight_decay = 0.01)', or as an objective: "
        "'weight_l2(LAYERS, weight = 0.0005)'",
    ),
    (
        "workers numworkers gpus gpu devices device numgpus machines threads",
        "leave it out: a file says nothing of machines; 'lnetc compile --workers N' and 'lnetc run --cluster' do",
    ),
    ("directory output outputdir logdir", "leave it out: 'lnetc run -d DIRECTORY' says where a run is kept"),
)
"""Hints for settings of other frameworks."""

VALUES = ACTS | _named(
    (
        "circular periodic cyclic",
        "write 'pad(top, bottom, left, right, fill = wrap)', a layer, before this one",
    ),
    (
        "causal",
        "write 'pad(top, bottom, left, right)', a layer, before this one: each side has its own width",
    ),
    ("replicate nearest", "write 'pad(top, bottom, left, right, fill = edge)', a layer, before this one"),
    (
        "mirror reflection",
        "write 'pad(top, bottom, left, right, fill = reflect)', a layer, before this one",
    ),
    ("linear identity", "did you mean 'none'?"),
    ("null nil", "did you mean 'none'?"),
    ("yes on", "did you mean 'true'?"),
    ("no off", "did you mean 'false'?"),
)
"""Hints for constants of other languages."""
