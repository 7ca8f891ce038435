"""Words, not types: the YAML loader, the starter settings and the scorecard presets."""

from config.loader import ConfigError, Document, load, parse, preset, presets, template

__all__ = ["ConfigError", "Document", "load", "parse", "preset", "presets", "template"]
