"""How fast and how large the main job is, beside the plainest way of doing the same: `python -m benchmarks`."""
