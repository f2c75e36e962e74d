"""`docs/architecture.md` shows the rooms and floors that the code has."""

import re
from pathlib import Path

from tests.laws.test_floors import FLOORS, WITHOUT_TORCH

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def rows() -> list[tuple[int, str, str]]:
    """Return floor, room and torch of each row of the table of floors."""
    pattern = r"^\| (\d) \| `(\w+)` \| .* \| ([\w ]+) \|$"
    text = PAGE.read_text(encoding="utf-8")
    return [(int(floor), room, torch) for floor, room, torch in re.findall(pattern, text, re.MULTILINE)]


def test_the_table_of_floors_is_that_of_the_floor_test() -> None:
    table = {(floor, room) for floor, room, _ in rows()}
    assert table == {(number, room) for number, floor in enumerate(FLOORS, 1) for room in floor}
    assert [floor for floor, _, _ in rows()] == sorted((floor for floor, _ in table), reverse=True)


def test_the_rooms_that_never_import_torch_are_those_of_the_floor_test() -> None:
    assert {room for _, room, torch in rows() if torch == "never"} == set(WITHOUT_TORCH)
