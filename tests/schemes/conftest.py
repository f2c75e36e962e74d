"""The digits and a network trained on them, for tests of this room."""

from tests.builders.digits import digits, digits_cnn

__all__ = ["digits", "digits_cnn"]
