"""Words, not types: the YAML loader, the starter settings and the scorecard presets."""
