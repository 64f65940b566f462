"""`planner trace` tells the story of one thing, and nothing of what people wrote."""

import json
import re
from typing import Any
from uuid import UUID

import pytest
from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Outcome, Reason, State
from planner_common.people import person_id
from planner_common.story import find, tell
from sqlalchemy import Connection, text

from common.tests.domain import Domain, Event
from common.tests.test_cli import planner

ANN, BOB, CAT, DAN, EVE = (f"{name}@example.org" for name in ("ann", "bob", "cat", "dan", "eve"))
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


def trace(database: str, *arguments: object, status: int = 0) -> str:
    done = planner(database, "trace", *map(str, arguments))
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done.stderr if status else done.stdout


def as_json(database: str, *arguments: object) -> Any:
    return json.loads(trace(database, *arguments, "--json"))


def whats(story: Any) -> list[str]:
    return [moment["what"] for moment in story["moments"]]


@pytest.fixture
def told(domain: Domain) -> tuple[Event, int, UUID, UUID]:
    """An event, its update by request r-1, Bob's notification of that and his mail, which was refused at first."""
    event = domain.event(ANN, BOB, CAT)
    domain.tell(event.creation, BOB, CAT)
    change = domain.change(event, Kind.UPDATE, actor=ANN, request_id="r-1", audience_size=2)
    domain.connection.execute(
        text("""UPDATE changes SET diff = '{"title": ["Dinner", "Secret"], "location": [null, "Here"]}', claims = 1,
                traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' WHERE id = :id"""),
        {"id": change},
    )
    notification, _ = domain.tell(change, BOB, CAT)
    tries = [(Outcome.LATER, 450, f"<{BOB}> is busy"), (Outcome.ACCEPTED, 250, "ok")]
    delivery = domain.delivery(change, BOB, state=State.SENT, tries=tries, told_revision=2)
    return event, change, notification, delivery


def test_a_request_is_told_from_its_change_to_what_became_of_it(
    told: tuple[Event, int, UUID, UUID], database: str
) -> None:
    event, change, notification, delivery = told
    lines = trace(database, "r-1").splitlines()
    assert re.fullmatch(r"request r-1, from \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", lines[0])
    assert re.match(r" *\+0 ms  change ", lines[1])
    assert lines[1].endswith(
        f"change {change}: update of event {event.id}, revision 2; fields location, title; by person {person_id(ANN)};"
        " request r-1; trace 0af7651916cd43dd8448eb211c80319c"
    )
    rest = [line.split(" ms  ", 1)[1] for line in lines[2:]]
    assert set(rest[:3]) == {
        f"notification {notification} for person {person_id(BOB)}",
        next(line for line in rest if line.startswith("notification") and str(person_id(CAT)) in line),
        f"change {change} fanned out, handed out once: 2 notifications; email: 1 sent",
    }
    assert sorted(rest[3:]) == sorted(  # the helper of the tests writes the end before the tries
        [
            f"delivery {delivery} by email, lane normal, for person {person_id(BOB)}",
            f"try under claim 1 of delivery {delivery}: later after 12 ms: 450 <…@…> is busy",
            f"try under claim 3 of delivery {delivery}: accepted after 12 ms: 250 ok",
            f"delivery {delivery} sent",
        ]
    )
    everything = "\n".join(lines)
    for told_by_people in ("example.org", "Dinner", "Secret", "Here"):
        assert told_by_people not in everything


def test_every_kind_of_id_is_found(told: tuple[Event, int, UUID, UUID], database: str, connection: Connection) -> None:
    event, change, notification, delivery = told
    by_request, by_change = as_json(database, "r-1"), as_json(database, change)
    assert (by_request["what"], by_change["what"]) == ("request", "change")
    assert by_request["moments"] == by_change["moments"]
    by_event = as_json(database, event.id)
    assert by_event["what"] == "event"
    assert [m["change_id"] for m in by_event["moments"] if m["what"] == "change"] == [event.creation, change]
    by_notification = as_json(database, notification)
    assert by_notification["what"] == "notification"
    assert {m["person"] for m in by_notification["moments"] if "person" in m} == {str(person_id(BOB))}
    assert whats(by_notification).count("attempt") == 2
    by_delivery = as_json(database, delivery)
    assert by_delivery["what"] == "delivery"
    assert whats(by_delivery).count("delivery") == 1
    # A request's id may look like another's, and one from long ago is found as well.
    connection.execute(
        text("UPDATE changes SET request_id = :id, at = at - interval '1 year' WHERE id = :change"),
        {"id": UUID(NOBODY).hex, "change": change},
    )
    assert as_json(database, UUID(NOBODY).hex)["what"] == "request"


def test_a_notification_that_was_made_by_hand_is_found(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    (notification,) = domain.tell(event.creation, BOB)
    domain.connection.execute(text("UPDATE changes SET fanned_out_at = now() - interval '1 day'"))
    found = find(domain.connection, str(notification))
    assert found is not None
    assert (found.what, found.changes, found.person) == ("notification", [event.creation], person_id(BOB))


def test_nothing_is_said_to_be_nothing(database: str) -> None:
    for unknown in (NOBODY, "4711", "r-2", "9" * 30, "\x1b[31m"):
        said = trace(database, unknown, status=1)
        assert "no event, change, notification or delivery has this id" in said
        assert "\x1b" not in said


def test_only_a_few_people_are_told_of_unless_all_are_asked_for(domain: Domain, database: str) -> None:
    event = domain.event(ANN, BOB, CAT, DAN, EVE)
    domain.tell(event.creation, BOB, CAT, DAN, EVE)
    first = sorted((BOB, CAT, DAN, EVE), key=person_id)
    for person in first[:3]:
        domain.delivery(event.creation, person, state=State.SENT)
    domain.delivery(event.creation, first[3], state=State.DEAD, reason=Reason.TRIES)
    few, every = as_json(database, event.creation), as_json(database, event.creation, "--all")
    assert (whats(few).count("notification"), few["untold"]) == (3, 1)
    assert (whats(every).count("notification"), every["untold"]) == (4, 0)
    assert [each["is"] for each in few["open"]] == [f"change {event.creation}: 1 more by email: dead (tries)"]
    assert "planner dead replay" in every["open"][0]["is"]
    printed = trace(database, event.creation)
    assert "… and 1 more: --all tells of each" in printed
    assert f"open: change {event.creation}: 1 more by email: dead (tries)" in printed


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("claims = 0", r"change \d+: not fanned out for 60\.\d s, handed out never: the dispatcher has not come to it"),
        ("claims = 2, lease_until = now() + interval '5 s'", r".*handed out 2 times: a worker has [45]\.\d s left .*"),
        ("claims = 1, lease_until = now() - interval '5 s'", r".*handed out once: no worker did it while .*"),
        ("held_at = now(), audience_size = 300", r"change (\d+): held for 0\.\d s, since it reaches 300 people: .*"),
        ("notify = false, decided_at = now(), decided_by = :nobody", r"change \d+: rejected, so nobody is told"),
    ],
)
def test_what_did_not_happen_to_a_change_is_said(domain: Domain, columns: str, said: str) -> None:
    event = domain.event(ANN, BOB)
    values = {"nobody": NOBODY} if ":nobody" in columns else {}
    domain.connection.execute(text(f"UPDATE changes SET at = now() - interval '1 min', {columns}"), values)
    subject = find(domain.connection, str(event.id))
    assert subject is not None
    (missing,) = tell(domain.connection, subject).open
    assert re.fullmatch(said, missing.text), missing.text


def test_a_quiet_change_misses_nothing(domain: Domain) -> None:
    event = domain.event(ANN, BOB, notify=False)
    subject = find(domain.connection, str(event.creation))
    assert subject is not None
    story = tell(domain.connection, subject)
    assert [moment.what for moment in story.moments] == ["change"]
    assert not story.moments[0].facts["told"]
    assert story.open == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            "due_at = now() + interval '1 h', reason = 'quiet_hours'",
            r"waits 3,(600|599)\.\d s more, until .*Z \(quiet_hours\)",
        ),
        ("due_at = now() - interval '9 s', claims = 1", r"due for 9\.\d s, handed out once"),
        ("lease_until = now() + interval '9 s', claims = 2", r"handed out, for the 2nd time"),
        ("sending = true, lease_until = now() + interval '9 s'", r"being sent"),
        ("sending = true, lease_until = now() - interval '9 s'", r"was being sent when its worker fell silent"),
    ],
)
def test_what_did_not_happen_to_a_delivery_is_said(domain: Domain, columns: str, said: str) -> None:
    change = domain.event(ANN, BOB).creation
    domain.tell(change, BOB)
    delivery = domain.delivery(change, BOB)
    domain.connection.execute(text(f"UPDATE deliveries SET {columns}"))
    subject = find(domain.connection, str(delivery))
    assert subject is not None
    (missing,) = tell(domain.connection, subject).open
    assert re.fullmatch(f"delivery {delivery}: {said}", missing.text), missing.text


def test_a_code_belongs_to_no_change(domain: Domain, database: str) -> None:
    code = domain.delivery(
        None, BOB, ChannelType.APPRISE, State.SENT, purpose="code", tries=[(Outcome.ACCEPTED, None, None)]
    )
    assert f"by apprise, lane normal, a code for person {person_id(BOB)}" in trace(database, code)


def test_what_goes_out_in_a_digest_has_the_tries_of_its_first(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    later = domain.change(event, Kind.UPDATE, actor=ANN)
    first = domain.delivery(event.creation, BOB, state=State.SENT, tries=[(Outcome.ACCEPTED, 250, "ok")])
    second = domain.delivery(later, BOB, state=State.SENT)
    domain.connection.execute(text("UPDATE deliveries SET message_id = :first"), {"first": first})
    subject = find(domain.connection, str(second))
    assert subject is not None
    moments = tell(domain.connection, subject).moments
    assert [moment.facts["in_digest"] for moment in moments if moment.what == "delivery"] == [first]
    assert [moment.facts["delivery_id"] for moment in moments if moment.what == "attempt"] == [second]


def test_what_may_be_pruned_is_said(told: tuple[Event, int, UUID, UUID], database: str, connection: Connection) -> None:
    assert "pruned" not in trace(database, "r-1")
    connection.execute(text("INSERT INTO horizons (name, at) VALUES ('deliveries', now())"))
    assert "told so long ago that its deliveries may be pruned" in trace(database, "r-1")
