"""Environment of a run: versions and machine that its results can depend on."""

import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "torchvision", "numpy")
"""Packages whose versions can change a result."""

_VECTOR_UNITS = frozenset({"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve"})


def environment() -> dict[str, str]:
    """Return versions and machine, as a manifest records them."""
    versions = {package: metadata.version(package) for package in PACKAGES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "vector units": _vector_units(),
        **versions,
    }


def _processor() -> str:
    names = _cpuinfo("model name")
    return f"{names[0]} × {len(names)}" if names else platform.processor()


def _vector_units() -> str:
    """Return the vector units that select kernels of torch: processors of one name can differ in them."""
    flags = " ".join([*_cpuinfo("flags"), *_cpuinfo("Features")]).split()
    return " ".join(sorted(_VECTOR_UNITS.intersection(flags))) or "unknown"


def _cpuinfo(field: str) -> list[str]:
    """Return the values of a field of /proc/cpuinfo, one per core; none on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(field)]
