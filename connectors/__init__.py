"""The outside world: one vendor a file, or a folder when it reads and writes."""
