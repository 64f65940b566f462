"""What an operator types about dead letters, held changes and admins, and what it answers."""

import json
import select
import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Outcome, Reason, State
from planner_common.messages import Channel
from planner_common.people import person_id
from sqlalchemy import Connection, text

from common.tests.domain import Domain
from common.tests.test_cli import planner

ANN, BOB, CAT = "ann@example.org", "bob@example.org", "cat@example.org"
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


def run(database: str, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = planner(database, *map(str, arguments))
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done


def as_json(database: str, *arguments: object, status: int = 0) -> Any:
    return json.loads(run(database, *arguments, "--json", status=status).stdout)


def states(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT state FROM deliveries ORDER BY id")).scalars())


def actions(connection: Connection) -> list[tuple[Any, ...]]:
    return [tuple(each) for each in connection.execute(text("SELECT actor, action FROM admin_actions ORDER BY id"))]


@pytest.fixture
def dead(domain: Domain) -> list[str]:
    """Two of Bob, by mail and by webhook; the second one's server answered with what should not reach a terminal."""
    change = domain.event(ANN, BOB).creation
    tries = [(Outcome.REFUSED, 550, "no such user")]
    evil = [(Outcome.REFUSED, 410, "gone \x1b[31m[bold]\nfor good")]
    return [
        str(domain.delivery(change, BOB, state=State.DEAD, reason=Reason.REFUSED, tries=tries)),
        str(domain.delivery(change, BOB, ChannelType.WEBHOOK, State.DEAD, Reason.TRIES, tries=evil, channel_id=NOBODY)),
    ]


def test_dead_letters_are_listed_in_lines(dead: list[str], database: str) -> None:
    header, second, first = (line.split("\t") for line in run(database, "dead", "list").stdout.splitlines())
    assert header == ["id", "given up", "channel", "reason", "person", "about", "last answer"]
    assert (first[0], second[0]) == (dead[0], dead[1])
    assert first[2:] == ["email", "refused", BOB, "invitation “Dinner”, revision 1", "550 no such user"]
    assert second[-1] == "410 gone  [31m[bold] for good"


def test_dead_letters_are_listed_by_what_they_are(dead: list[str], database: str) -> None:
    assert [each["id"] for each in as_json(database, "dead", "list", "--type", "webhook")] == [dead[1]]
    assert [each["id"] for each in as_json(database, "dead", "list", "--reason", "refused")] == [dead[0]]
    assert len(as_json(database, "dead", "list", "--person", "BOB@example.org", "--since", "2026-01-01")) == 2
    assert as_json(database, "dead", "list", "--until", "2026-01-01T00:00:00Z", status=1) == []
    assert as_json(database, "dead", "list", "--event", NOBODY, status=1) == []
    some = run(database, "dead", "list", "--limit", 1).stdout
    assert some.endswith("… the first 1; --limit shows more\n")


def test_without_dead_letters_there_is_nothing_to_list(database: str) -> None:
    assert run(database, "dead", "list", status=1).stdout == "no dead deliveries\n"


def test_one_is_shown_with_its_tries(dead: list[str], database: str) -> None:
    shown = run(database, "dead", "show", dead[0]).stdout
    assert "state     dead (refused)\n" in shown
    assert "person    bob@example.org\n" in shown
    assert shown.splitlines()[-1].split("\t")[2:] == ["12 ms", "refused", "550", "no such user"]
    found = as_json(database, "dead", "show", dead[1])
    assert found["attempts"][0]["detail"] == "gone \x1b[31m[bold]\nfor good"
    assert run(database, "dead", "show", NOBODY, status=1).stderr == f"{NOBODY}: there is no such delivery\n"


def test_replaying_some_says_which_could_not_be(dead: list[str], connection: Connection, database: str) -> None:
    assert run(database, "dead", "replay", *dead).stdout == "2 replayed\n"
    assert states(connection) == ["pending", "pending"]
    assert actions(connection) == [(None, "delivery.replay")] * 2
    again = run(database, "dead", "replay", dead[0], NOBODY, status=1)
    assert again.stdout == "0 replayed\n"
    assert again.stderr.splitlines() == [
        f"{dead[0]}: it is pending, and only what is dead can be replayed",
        f"{NOBODY}: there is no such delivery",
    ]


def test_a_digest_may_be_named_by_each_of_its_deliveries(domain: Domain, connection: Connection, database: str) -> None:
    event = domain.event(ANN, BOB)
    update = domain.change(event, Kind.UPDATE, actor=ANN)
    both = [domain.delivery(each, BOB, state=State.DEAD, reason=Reason.REFUSED) for each in (event.creation, update)]
    connection.execute(text("UPDATE deliveries SET message_id = :first, digest = true"), {"first": both[0]})
    assert as_json(database, "dead", "replay", *both) == {"replayed": 2, "refused": {}}
    assert states(connection) == ["pending", "pending"]


def many(domain: Domain, number: int) -> None:
    """So many that are dead of age, after one that is."""
    domain.delivery(domain.event(ANN, BOB).creation, BOB, state=State.DEAD, reason=Reason.AGE)
    copied = "person_id, channel_id, type, state, reason, finished_at"
    domain.connection.execute(
        text(f"INSERT INTO deliveries ({copied}) SELECT {copied} FROM deliveries, generate_series(1, :number)"),
        {"number": number},
    )


@pytest.fixture
def deadly(connection: Connection) -> Iterator[None]:
    """Whatever is replayed dies again at once."""
    connection.execute(
        text("""
            CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                NEW.state := 'dead'; NEW.reason := 'age'; NEW.finished_at := clock_timestamp(); RETURN NEW;
            END $$
        """)
    )
    connection.execute(text("CREATE TRIGGER die BEFORE UPDATE ON deliveries FOR EACH ROW EXECUTE FUNCTION die()"))
    yield
    connection.execute(text("DROP FUNCTION die CASCADE"))


@pytest.mark.usefixtures("deadly")
def test_replaying_all_comes_to_an_end_although_all_die_again(domain: Domain, database: str) -> None:
    many(domain, 1000)
    assert as_json(database, "dead", "replay", "--all") == {"replayed": 1001}


def test_replaying_all_goes_on_to_the_end_and_wakes_the_dispatcher(domain: Domain, database: str) -> None:
    many(domain, 1500)
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute(f"LISTEN {Channel.CHANGES}")
        assert as_json(database, "dead", "replay", "--all", "--reason", "age") == {"replayed": 1501}
        assert select.select([listener.fileno()], [], [], 10)[0]
        assert list(listener.notifies(timeout=0))
    assert set(states(domain.connection)) == {"pending"}
    assert run(database, "dead", "replay", "--all", status=1).stdout == "0 replayed\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("dead", "replay"),
        ("dead", "replay", "--all", NOBODY),
        ("dead", "replay", NOBODY, "--type", "email"),
        ("dead", "replay", "nonsense"),
        ("dead", "list", "--since", "yesterday"),
        ("dead", "list", "--reason", "muted"),
        ("dead", "list", "--type", "pigeon"),
        ("held", "approve", "-1"),
        ("held", "approve", "nonsense"),
        ("user", "admin"),
    ],
)
def test_nonsense_is_refused(database: str, arguments: tuple[str, ...]) -> None:
    run(database, *arguments, status=2)


@pytest.fixture
def held(domain: Domain) -> int:
    event = domain.event(ANN, BOB, CAT)
    change = domain.change(event, Kind.UPDATE, actor=ANN, audience_size=2)
    domain.connection.execute(text("UPDATE changes SET held_at = now() WHERE id = :id"), {"id": change})
    return change


def decided(connection: Connection, change: int) -> tuple[bool, bool, Any]:
    statement = text(
        "SELECT held_at IS NULL, notify, decided_by FROM changes WHERE id = :id AND decided_at IS NOT NULL"
    )
    return tuple(connection.execute(statement, {"id": change}).one())


def test_held_changes_are_listed_until_they_are_decided(
    held: int, connection: Connection, database: str, domain: Domain
) -> None:
    assert run(database, "held", "list").stdout.splitlines()[1].split()[0] == str(held)
    [shown] = as_json(database, "held", "list")
    assert (shown["id"], shown["people"], shown["actor_email"], shown["title"]) == (held, 2, ANN, "Dinner")
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute(f"LISTEN {Channel.CHANGES}")
        assert run(database, "held", "approve", held).stdout == f"change {held} approved\n"
        assert select.select([listener.fileno()], [], [], 10)[0]
        assert list(listener.notifies(timeout=0))
    cleared, notify, by = decided(connection, held)
    assert (cleared, notify) == (True, True)
    assert by is not None, "the brake would hold it again"
    assert run(database, "held", "list", status=1).stdout == "nothing is held\n"
    for again in ("approve", "reject"):
        refused = run(database, "held", again, held, status=1)
        assert refused.stderr == f"change {held}: it was approved already\n"
    assert actions(connection) == [(None, "held.approve")]
    assert domain.pending()


def test_what_is_rejected_is_told_to_nobody(held: int, connection: Connection, database: str) -> None:
    assert run(database, "held", "reject", held).stdout == f"change {held} rejected\n"
    cleared, notify, _ = decided(connection, held)
    assert (cleared, notify) == (True, False)
    assert run(database, "held", "approve", held, status=1).stderr == f"change {held}: it was rejected already\n"
    assert run(database, "held", "approve", held - 1, status=1).stderr == f"change {held - 1}: it is not held\n"
    assert run(database, "held", "approve", 10**9, status=1).stderr == "change 1000000000: there is no such change\n"
    assert actions(connection) == [(None, "held.reject")]


def test_admins_are_appointed_and_dismissed(domain: Domain, connection: Connection, database: str) -> None:
    domain.event(ANN)
    domain.event(BOB)
    assert run(database, "user", "list", "--admins", status=1).stdout == "no admins\n"
    assert run(database, "user", "admin", "Ann@Example.org").stdout == "ann@example.org is an admin\n"
    assert run(database, "user", "admin", ANN).stdout == "ann@example.org is an admin, as before\n"
    assert [each["email"] for each in as_json(database, "user", "list", "--admins")] == [ANN]
    assert [each["admin"] for each in as_json(database, "user", "list")] == [True, False]
    assert run(database, "user", "list").stdout.splitlines()[1].split("\t")[:3] == [ANN, ANN, "yes"]
    assert run(database, "user", "admin", ANN, "--revoke").stdout == "ann@example.org is no admin\n"
    assert run(database, "user", "list", "--admins", status=1).stdout == "no admins\n"
    assert run(database, "user", "admin", CAT, status=1).stderr == "cat@example.org: no account has this address\n"
    assert actions(connection) == [(None, "admin.appoint"), (None, "admin.dismiss")]


@pytest.mark.parametrize(
    "arguments", [("dead", "list"), ("held", "list"), ("user", "list"), ("dead", "replay", "--all")]
)
def test_a_database_that_is_away_is_not_nothing(arguments: tuple[str, ...]) -> None:
    done = planner("postgresql://planner@127.0.0.1:1/planner", *arguments)
    assert done.returncode == 75
    assert done.stderr.startswith("PostgreSQL cannot be asked: ")
    assert str(person_id(ANN)) not in done.stdout
