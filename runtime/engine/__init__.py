"""Evaluation of a network, whole or in tiles: values, gradients and updates."""
