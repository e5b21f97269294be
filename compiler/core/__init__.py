"""What ops, objectives and settings are written with: shapes, layers, values, arguments."""
