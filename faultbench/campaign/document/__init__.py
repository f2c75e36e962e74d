"""Text of a campaign file: YAML values with their positions, overrides, and the problems found in them."""
