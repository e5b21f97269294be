"""What trains and looks at a compiled plan."""
