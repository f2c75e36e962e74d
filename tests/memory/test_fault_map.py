"""A fault map is a strictly increasing list of addresses with a digest."""

from hashlib import blake2b

import numpy as np
import pytest

from faultbench.memory.fault_map import FaultMap


@pytest.mark.parametrize("addresses", [[3, 3], [4, 3], [0, 1, 1, 2], [5, -1]])
def test_addresses_that_do_not_increase_are_refused(addresses: list[int]) -> None:
    with pytest.raises(ValueError, match="strictly increasing"):
        FaultMap(np.array(addresses))


@pytest.mark.parametrize("addresses", [np.array(3), np.array([[1, 2]])])
def test_addresses_that_are_no_list_are_refused(addresses: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one-dimensional"):
        FaultMap(addresses)


def test_addresses_that_are_no_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        FaultMap(np.array([0.0, 1.5]))


def test_a_fault_map_keeps_its_own_copy_that_nobody_can_change() -> None:
    given = np.array([1, 2, 3])
    fault_map = FaultMap(given)
    given[0] = 9
    assert fault_map.addresses.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        fault_map.addresses[0] = 9


@pytest.mark.parametrize("dtype", ["i4", "u8", ">i8"])
def test_addresses_of_any_integer_type_are_kept_as_int64(dtype: str) -> None:
    assert FaultMap(np.array([1, 2], dtype=dtype)).addresses.dtype == np.int64


@pytest.mark.parametrize("addresses", [[], [7], [0, 2**40]])
def test_the_length_is_the_number_of_flips(addresses: list[int]) -> None:
    assert len(FaultMap(np.array(addresses, dtype=np.int64))) == len(addresses)


def test_the_digest_is_16_hex_of_the_little_endian_addresses() -> None:
    words = bytes([1] + [0] * 7) + bytes([0, 1] + [0] * 6)
    assert FaultMap(np.array([1, 256])).digest == blake2b(words, digest_size=8).hexdigest()
