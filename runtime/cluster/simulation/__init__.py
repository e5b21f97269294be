"""A run on a described cluster in virtual time: the protocol's own state machines, and what a prediction says all costs."""
