"""Networks in other frameworks: source text for PyTorch, graphs of ONNX."""
