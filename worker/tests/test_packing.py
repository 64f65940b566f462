from hypothesis import given
from hypothesis import strategies as st
from planner_worker.packing import MAX_CHANGES, MAX_PEOPLE, Claim, pack

SIZES = st.one_of(st.integers(0, 100), st.integers(0, 3 * MAX_PEOPLE))
CLAIMS = st.lists(st.tuples(SIZES, st.integers(1, 6)), max_size=500).map(
    lambda rows: [Claim(number, size, None, claims) for number, (size, claims) in enumerate(rows)]
)


def claims(number: int, *, size: int = 10, times: int = 1) -> list[Claim]:
    return [Claim(id, size, None, times) for id in range(number)]  # noqa: A001


def sizes(packed: list[Claim]) -> list[int]:
    return [len(message) for message in pack(packed)]


@given(CLAIMS)
def test_each_claim_is_in_one_message_and_no_message_is_too_large(packed: list[Claim]) -> None:
    messages = list(pack(packed))
    assert sorted(claim.id for message in messages for claim in message) == [claim.id for claim in packed]
    for message in messages:
        assert 1 <= len(message) <= MAX_CHANGES
        assert len(message) == 1 or sum(claim.audience_size for claim in message) <= MAX_PEOPLE
        assert [claim.id for claim in message] == sorted(claim.id for claim in message)


def test_many_small_changes_make_few_messages() -> None:
    assert sizes(claims(450)) == [200, 200, 50]


def test_large_audiences_are_spread() -> None:
    assert sizes(claims(4, size=MAX_PEOPLE // 2)) == [2, 2]
    assert sizes(claims(2, size=MAX_PEOPLE * 5)) == [1, 1]


def test_what_came_to_nothing_shares_a_message_with_ever_fewer() -> None:
    assert sizes(claims(40, times=2)) == [20, 20]
    assert sizes(claims(4, times=3)) == [2, 2]
    assert sizes(claims(3, times=4)) == [1, 1, 1]
    assert sizes(claims(3, times=32767)) == [1, 1, 1]


def test_what_came_to_nothing_does_not_hold_up_the_others() -> None:
    fresh, stale = claims(3), [Claim(100, 1, None, 5)]
    assert sorted(map(len, pack(fresh[:1] + stale + fresh[1:]))) == [1, 3]


def test_nothing_is_no_message() -> None:
    assert sizes([]) == []
