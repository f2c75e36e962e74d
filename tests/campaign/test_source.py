"""YAML with positions, and the parts of YAML that are refused."""

import pytest

from faultbench.campaign.document.problems import CampaignError
from faultbench.campaign.document.yaml_source import MAX_DEPTH, read_document
from tests.builders.campaign_texts import problems, small


def refusals(text: str) -> list[str]:
    return [str(problem) for problem in read_document(text, "f.yaml").problems]


def test_every_value_and_key_knows_its_line_and_column() -> None:
    document = read_document("a: 1\nb:\n  - x\n  - {c: [2]}\n", "f.yaml")
    assert document.value == {"a": 1, "b": ["x", {"c": [2]}]}
    assert str(document.position(("a",))) == "f.yaml:1:4"
    assert str(document.position(("b", 0))) == "f.yaml:3:5"
    assert str(document.position(("b", 1, "c", 0))) == "f.yaml:4:10"
    assert str(document.key_positions["b", 1, "c"]) == "f.yaml:4:6"


def test_a_value_that_is_missing_is_placed_where_its_holder_is() -> None:
    assert str(read_document("a:\n  b: 1\n", "f.yaml").position(("a", "z", "y"))) == "f.yaml:2:3"


def test_quoted_words_are_text_and_unquoted_ones_what_they_mean() -> None:
    assert read_document("['1', \"1\", 1, no, null]", "f.yaml").value == ["1", "1", 1, "no", None]


def test_a_repeated_key_is_refused_and_its_first_value_kept() -> None:
    document = read_document("a: 1\n'a': 2\n", "f.yaml")
    assert document.value == {"a": 1}
    assert refusals("a: 1\n'a': 2\n") == ["f.yaml:2:1: repeated key 'a'; first given at line 1; leave one out"]


def test_anchors_and_aliases_are_refused() -> None:
    assert refusals("a: &x [1]\nb: *x\n") == [
        "f.yaml:1:4: a: YAML anchors are refused; given 'x'; leave it out",
        "f.yaml:2:4: b: YAML aliases are refused; given 'x'; write the value out",
    ]


def test_an_alias_is_not_also_said_to_be_of_the_wrong_type() -> None:
    text = small(bers="[*x, 1e-6]", trials="*x")
    assert problems(text) == [
        "small.yaml:5:8: bers[0]: YAML aliases are refused; given 'x'; write the value out",
        "small.yaml:6:9: trials: YAML aliases are refused; given 'x'; write the value out",
    ]


def test_merge_keys_are_refused_as_keys_only() -> None:
    assert refusals("<<: {a: 1}\n") == ["f.yaml:1:1: YAML merge keys (<<) are refused; write the keys out"]
    assert refusals("a: <<\n") == []


@pytest.mark.parametrize("tagged", ["!!str 5", "!mine 5", "!!python/object:os.system x", "! 5", "!!set {x}", "!x [1]"])
def test_tags_are_refused(tagged: str) -> None:
    (line,) = refusals(f"a: {tagged}\n")
    assert line.startswith("f.yaml:1:4: a: YAML tags are refused; given '")


def test_a_second_document_is_refused_where_it_starts() -> None:
    assert refusals("a: 1\n---\nb: 2\n") == ["f.yaml:2:1: a second YAML document; a campaign file holds one"]
    assert refusals("---\na: 1\n...\n") == []


@pytest.mark.parametrize("key", ["[1]", "{a: 1}"])
def test_a_key_that_is_no_word_is_refused(key: str) -> None:
    assert refusals(f"? {key}\n: 1\n") == ["f.yaml:1:3: a key must be a word; given a list, a mapping or an alias"]


def test_a_question_mark_is_a_key_like_any_other() -> None:
    assert read_document("'?': 1", "f.yaml").value == {"?": 1}


@pytest.mark.parametrize("text", ['a: "\\ud83d"', '"\\ud83d": a', '["\\udc00"]'])
def test_half_a_character_is_refused(text: str) -> None:
    (line,) = refusals(text)
    assert "half a character; given '\\ud" in line
    line.encode("utf-8")


def test_half_a_character_is_one_problem_of_its_value_or_key() -> None:
    assert problems(small(name='"\\ud83d"')) == [
        "small.yaml:1:7: name: half a character; given '\\ud83d'; write the character itself"
    ]
    assert len(problems(small(**{'"\\ud83d"': "1"}))) == 1


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_without_end_is_refused_at_once(opening: str) -> None:
    with pytest.raises(CampaignError, match=f"nested more than {MAX_DEPTH} deep"):
        read_document(opening * 100_000, "f.yaml")


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    assert str(read_document(text, "f.yaml").value) == text


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a: [1\nb: 2\n", "2:2"),
        ("a: 'x\n", "2:1"),
        ("a: b: c\n", "1:5"),
        ("a:\n\t- x\n", "2:1"),
        ("a: \x00\n", "1:4"),
        ("a: 1\nb: \x07x\n", "2:4"),
        ("%YAML 9.1\n---\na: 1\n", "1:1"),
        ("@\n", "1:1"),
    ],
)
def test_what_is_not_yaml_is_one_line_with_a_position(text: str, position: str) -> None:
    with pytest.raises(CampaignError) as caught:
        read_document(text, "f.yaml")
    assert str(caught.value).startswith(f"f.yaml:{position}: not YAML: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ['a: "\\U00110000"\n', f"%YAML {'9' * 5000}.1\n---\na: 1\n"])
def test_what_pyyaml_itself_stumbles_over_is_one_line_about_the_file(text: str) -> None:
    with pytest.raises(CampaignError) as caught:
        read_document(text, "f.yaml")
    assert str(caught.value).startswith("f.yaml: not YAML: ")


def test_what_was_refused_before_a_syntax_error_is_told_too() -> None:
    with pytest.raises(CampaignError) as caught:
        read_document("a: 1\na: 2\nb: [\n", "f.yaml")
    assert [problem.position.line for problem in caught.value.problems] == [2, 4]
