from hypothesis import given
from hypothesis import strategies as st
from planner_common.people import normalize_email, person_id


def test_two_spellings_of_one_address_are_one_person() -> None:
    assert person_id(" Ann@Example.ORG ") == person_id("ann@example.org")
    assert person_id("ann@example.org") != person_id("bob@example.org")


def test_the_id_of_a_person_never_changes() -> None:
    """It is stored in every participant and notification."""
    assert str(person_id("ann@example.org")) == "438c4c7a-fe60-8cdf-9e45-5c369bec76dc"


@given(st.emails())
def test_an_id_is_a_uuid_of_version_8_and_normalising_twice_is_harmless(email: str) -> None:
    identity = person_id(email)
    assert identity.version == 8
    assert identity.variant == "specified in RFC 4122"
    assert person_id(normalize_email(email)) == identity
