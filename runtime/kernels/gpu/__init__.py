"""Kernels for GPUs: programs that gather the weights of neighbouring positions into one product."""
