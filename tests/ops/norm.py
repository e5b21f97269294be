"""Normalisation: mean and variance of each group of maps, of each image."""

import numpy as np
from hypothesis import strategies as st


def layernorm(op, operands, roles):
    (x,) = operands
    size, y = x.shape[3] // op.groups, np.empty_like(x)
    for n in range(len(x)):
        for g in range(op.groups):
            maps = slice(g * size, (g + 1) * size)
            places = [(...,)] if op.everywhere else list(np.ndindex(x.shape[1:3]))
            for place in places:
                seen = x[n, ..., maps] if op.everywhere else x[(n, *place, maps)]
                value = (seen - seen.mean()) / np.sqrt(seen.var() + op.eps)
                y[(n, *place, maps)] = value
    return y * roles.get("scale", 1) + roles.get("shift", 0)


def line(draw, of, above, locals_above):
    across, groups = draw(st.sampled_from(["all", "maps"])), draw(st.sampled_from([1, 1, 2]))
    scale, shift = (draw(st.sampled_from(["unit", "map", "none"])) for _ in range(2))
    return f"layernorm({across}, {groups}, eps = 0.1, scale = {scale}, shift = {shift}, of = {of})"


def batchnorm(op, operands, roles):
    """In evaluation, by the running values; in training `batchnorm_in_training`."""
    y = (operands[0] - roles["mean"]) / np.sqrt(roles["variance"] + op.eps)
    return y * roles.get("scale", 1) + roles.get("shift", 0)


def batchnorm_in_training(op, operands, roles):
    seen = operands[0].reshape(-1, operands[0].shape[3])
    return batchnorm(op, operands, {**roles, "mean": seen.mean(0), "variance": seen.var(0)})


def batch_line(draw, of, above, locals_above):
    scale, shift = (draw(st.sampled_from(["true", "false"])) for _ in range(2))
    return f"batchnorm(0.9, eps = 0.1, scale = {scale}, shift = {shift}, of = {of})"


FORMULAS = {"layernorm": layernorm, "batchnorm": batchnorm}
LINES = {"layernorm": line, "batchnorm": batch_line}
