"""Weights from files: of lnet's own export, Keras and PyTorch."""
