"""Products written as machine code for this processor and one layer's geometry, when a program is traced."""
