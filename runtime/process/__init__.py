"""What concerns the process as such: signals, limits of memory, caches."""
