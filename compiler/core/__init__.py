"""The types that ops, objectives and settings share: shapes, layers, values, arguments."""
