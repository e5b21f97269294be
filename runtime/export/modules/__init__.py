"""Layers in PyTorch, which `source.py` copies into a network's program, in files named as those of `compiler/ops`.

Values are `[batch, map, row, column]`. Parameters have lnet's names and lnet's order of axes.
"""
