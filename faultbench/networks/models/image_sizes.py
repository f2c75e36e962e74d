"""Check of the image size that an architecture takes."""

from faultbench.system.errors import FaultbenchError


def require_32x32(name: str, shape: tuple[int, int, int]) -> None:
    """Raise FaultbenchError unless images of this shape (channels, height, width) are 32×32."""
    if shape[1:] != (32, 32):
        raise FaultbenchError(f"{name} takes 32×32 images; given {shape[1]}×{shape[2]}; digits_cnn takes small ones")
