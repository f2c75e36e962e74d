"""Tests of tables: narrow on a narrow terminal, and complete elsewhere."""

from faultbench.system.text_tables import Column, TextTable

COLUMNS = (Column("name", is_text=True), Column("n", rank=1), Column("value"), Column("more", rank=2))
ROWS = [("a" * 50, "1,000", "0.5", "x" * 20), ("short", "2", "0.25", "y")]


def table() -> TextTable:
    return TextTable(COLUMNS, ROWS, title="numbers")


def test_a_table_without_limit_has_a_line_per_row_and_every_column() -> None:
    title, head, _, *rows = table().text().splitlines()
    assert title.split() == ["numbers"]
    assert head.split() == ["name", "n", "value", "more"]
    assert [tuple(row.split()) for row in rows if row.strip()] == ROWS


def test_a_narrow_table_folds_text_and_leaves_out_columns_of_the_highest_rank_first() -> None:
    text = table().text(40)
    assert max(map(len, text.splitlines())) <= 40
    assert "Left out of this narrow table: more." in text
    assert text.count("a") - text.count("name") - text.count("narrow") - text.count("value") >= 50 - 4
    assert "1,000" in text
    narrower = table().text(25)
    assert max(map(len, narrower.splitlines())) <= 25
    assert "Left out of this narrow table: n, more." in " ".join(narrower.split())
    assert "0.25" in narrower


def test_columns_of_rank_0_are_never_left_out() -> None:
    text = TextTable((Column("first"), Column("second")), [("1" * 30, "2" * 30)]).text(20)
    assert "first" in text
    assert "second" in text


def test_labels_are_text_and_no_markup() -> None:
    text = TextTable((Column("name", is_text=True),), [("[red]x[/]\x1b",)]).text(80)
    assert "[red]x[/]\\x1b" in text
