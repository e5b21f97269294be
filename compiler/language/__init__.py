"""From a syntax tree to a graph: scopes, expressions, declarations."""
