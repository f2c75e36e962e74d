"""faultbench: how neural networks, and the schemes that protect them, survive bit flips in memory."""

__version__ = "0.1.0.dev0"
