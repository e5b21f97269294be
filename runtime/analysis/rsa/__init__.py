"""Representational similarity analysis: dissimilarities of conditions in layers, and in matrices that a user brings."""
