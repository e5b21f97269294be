"""Kernels as machine code, generated for this processor and one layer's geometry while a program is traced."""
