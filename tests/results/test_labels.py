"""Labels come from anybody: in a spreadsheet and in Markdown each must stay the text that it is."""

import pytest

from faultbench.results.labels import escape_formula, escape_markdown, protection


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("clip_act", "clip_act"),
        ("Clip-Act (channel)", "Clip-Act (channel)"),
        ("_a_", r"\_a\_"),
        ("a__b", r"a\_\_b"),
        ("[a](b)", r"\[a\](b)"),
        ("a|b", r"a\|b"),
        ("<b>&lt;`~~*#", r"\<b\>\&lt;\`\~\~\*\#"),
        ("a\\b", r"a\\b"),
    ],
)
def test_markdown_prints_every_letter_of_a_label(text: str, escaped: str):
    assert escape_markdown(text) == escaped


def test_a_text_that_a_spreadsheet_would_calculate_gets_a_quote():
    starts = ("=1", "+1", "@a", "-1", "\ta")
    assert [escape_formula(text) for text in (*starts, "a=1")] == [*(f"'{text}" for text in starts), "a=1"]


def test_a_guard_is_named_beside_its_scheme():
    assert (protection("relu", "none"), protection("relu", "secded")) == ("relu", "relu + secded")
