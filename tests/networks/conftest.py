"""The digits, for tests of this room."""

from tests.builders.digits import digits

__all__ = ["digits"]
