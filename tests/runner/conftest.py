"""The digits and networks trained on them, for tests of this room."""

from tests.builders.digits import digits, digits_cnn
from tests.builders.trained import trained_once

__all__ = ["digits", "digits_cnn", "trained_once"]
