"""The language: text to syntax tree and back, and diagnostics.

Nothing is imported here, so that readers of plans need not load the parser.
"""
