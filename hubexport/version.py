"""The version, apart from the public API: all may import it, and it imports nothing."""

__version__ = "0.1.0"
