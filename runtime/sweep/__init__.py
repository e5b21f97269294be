"""Sweeps: a file trained with many settings, which optuna chooses by what those before reached."""
