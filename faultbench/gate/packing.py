"""Pack counts and digests, one row per trial, into short printable text: base64 of whole numbers laid bit to bit."""

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WIDEST = 62
"""Largest number of bits of a number; a signed 64-bit integer holds it with room to spare."""


def pack(rows: Sequence[Sequence[int]], n_bits: int) -> str:
    """Return the numbers as text, in order, each in n_bits (1 to 62), highest bit first; zeros fill the last byte."""
    numbers = np.array(rows, dtype=np.int64).reshape(-1, 1)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < 2 ** _checked(n_bits):
        raise ValueError(f"numbers from {numbers.min()} to {numbers.max()} do not fit into {n_bits} bits")
    bits = (numbers >> np.arange(n_bits - 1, -1, -1)) & 1
    return base64.b64encode(np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()).decode("ascii")


def unpack(text: str, n_bits: int, *, n_rows: int, n_columns: int) -> NDArray[np.int64]:
    """Return what `pack` packed, [n_rows, n_columns]; ValueError for any other text, raised before memory is taken."""
    n_used = n_rows * n_columns * _checked(n_bits)
    n_bytes = -(-n_used // 8)
    if len(text) != 4 * -(-n_bytes // 3):
        raise ValueError(f"{len(text)} characters, where {n_rows:,} trials take {4 * -(-n_bytes // 3)}")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"no base64: {error}") from error
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    if len(data) != n_bytes or bits[n_used:].any() or base64.b64encode(data).decode("ascii") != text:
        raise ValueError("it ends otherwise than packed numbers do")
    weights = 1 << np.arange(n_bits - 1, -1, -1, dtype=np.int64)
    numbers = bits[:n_used].reshape(n_rows, n_columns, n_bits).astype(np.int64) @ weights
    return np.asarray(numbers, dtype=np.int64)


def _checked(n_bits: int) -> int:
    if not 1 <= n_bits <= WIDEST:
        raise ValueError(f"a number takes 1 to {WIDEST} bits, not {n_bits}")
    return n_bits
