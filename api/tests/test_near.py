"""An answer is taken again only when it would be made of the same."""

from planner_api.near import Near


def test_an_answer_is_good_while_it_would_be_made_of_the_same() -> None:
    near = Near(2, 10)
    near.put("a", (1, "x"), b"one")
    assert near.get("a", (1, "x")) == b"one"
    assert near.get("a", (2, "x")) is None
    assert near.get("b", (1, "x")) is None


def test_what_was_not_asked_for_longest_goes_first() -> None:
    near = Near(2, 10)
    near.put("a", 1, b"a")
    near.put("b", 1, b"b")
    near.get("a", 1)
    near.put("c", 1, b"c")
    assert [near.get(key, 1) for key in "abc"] == [b"a", None, b"c"]


def test_what_is_too_large_is_not_kept() -> None:
    near = Near(2, 3)
    near.put("a", 1, b"four")
    assert near.get("a", 1) is None
