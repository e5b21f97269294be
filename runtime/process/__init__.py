"""The process itself: signals, memory limits, caches."""
