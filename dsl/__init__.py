"""The language: text to syntax tree and back, and what is wrong with a file.

Nothing is imported here, so that what reads plans need not load the parser.
"""
