"""Kernels: pure functions of arrays. Every value is `[row, column, map, batch]`, weights are canonical."""
