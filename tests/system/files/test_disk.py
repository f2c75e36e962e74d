"""Tests of the safe replacing of files."""

from pathlib import Path

import pytest

from faultbench.system.errors import EngineError
from faultbench.system.files.disk import replaced


def test_the_new_file_is_there_at_the_end_and_nothing_beside_it(tmp_path: Path):
    with replaced(tmp_path / "new" / "file") as path:
        path.write_text("whole")
    assert (tmp_path / "new" / "file").read_text() == "whole"
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "file"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path):
    (tmp_path / "file").write_text("old")
    with replaced(tmp_path / "file") as path:
        path.write_text("half of the n")
        assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize(
    ("raised", "seen"), [(ValueError("no"), ValueError), (OSError(28, "No space left"), EngineError)]
)
def test_after_an_exception_the_old_file_stands_and_nothing_is_beside_it(
    tmp_path: Path, raised: Exception, seen: type[Exception]
):
    (tmp_path / "file").write_text("old")

    def write_half() -> None:
        with replaced(tmp_path / "file") as path:
            path.write_text("half of the n")
            raise raised

    with pytest.raises(seen):
        write_half()
    assert (tmp_path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_place_that_cannot_be_written_is_an_engine_error_that_names_it(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EngineError, match=r"file/inside"), replaced(tmp_path / "file" / "inside"):
        pass
