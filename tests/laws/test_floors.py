"""Rooms import from rooms below them and from nothing else, and some of them never meet torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "faultbench"

FLOORS = (
    ("system",),
    ("plugins",),
    ("campaign", "datasets", "memory"),
    ("networks", "results"),
    ("gate", "output"),
    ("trials",),
    ("schemes",),
    ("runner",),
    ("cli", "testing"),
)
"""Lowest first: a module imports from its own room and from lower floors."""

WITHOUT_TORCH = ("plugins", "campaign", "results", "gate", "output")

ROOT = {"__init__.py", "__main__.py", "py.typed"}

LARGEST_FOLDER = 16
"""Modules, `__init__` aside."""


def floor_of(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([node.module] if node.module != "faultbench" else [f"faultbench.{a.name}" for a in node.names])


def test_every_folder_of_the_package_is_a_room() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    assert {room_of(folder) for folder in folders} == {room for floor in FLOORS for room in floor}
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} <= ROOT


def test_no_folder_holds_more_than_a_reader_can_take_in() -> None:
    for folder in {path.parent for path in modules()}:
        assert len([path for path in folder.glob("*.py") if path.stem != "__init__"]) <= LARGEST_FOLDER, folder


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_the_floors(path: Path) -> None:
    room = room_of(path)
    below = [name.split(".")[1] for name in imported(path) if name.startswith("faultbench.")]
    upward = [name for name in below if name not in (room, "__version__") and floor_of(name) >= floor_of(room)]
    assert not upward, f"{room} imports {upward} from its own floor or a higher one"


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_rooms_that_read_import_no_torch(room: str) -> None:
    for path in modules():
        if room_of(path) == room:
            roots = {name.split(".")[0] for name in imported(path)}
            assert not roots & {"torch", "torchvision"}, f"{path.relative_to(PACKAGE)} imports torch"
