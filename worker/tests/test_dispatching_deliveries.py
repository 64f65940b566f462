"""The dispatcher hands out deliveries lane by lane, in messages that the broker keeps apart."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from planner_common.deliveries import Lane
from planner_common.messages import Queue, Task
from planner_common.people import person_id
from planner_common.settings import Settings
from planner_local.servers import Valkey
from planner_worker.dispatcher import LONG_QUEUE_SECONDS, Dispatcher
from planner_worker.due.deliveries import MESSAGE_SIZE, QUEUE_OF, Deliveries
from redis import Redis
from sqlalchemy import Connection, Engine, text

BOB = person_id("bob@example.org")


@pytest.fixture
def broker(valkey: Valkey) -> Iterator[Redis]:
    with Redis.from_url(valkey.url()) as client:
        yield client


@pytest.fixture
def turn(settings: Settings) -> Iterator[Callable[..., float]]:
    """Dispatches once. Returns how long the dispatcher would wait now."""
    dispatcher = Dispatcher(settings.model_copy(update={"audit_seconds": 0, "dispatch_poll_seconds": 3.5}))
    yield lambda: dispatcher.turn(dispatcher.connect())
    dispatcher.disconnect()
    dispatcher.redis.close()


def deliveries(connection: Connection, number: int = 1, lane: Lane = Lane.NORMAL, **columns: Any) -> list[str]:
    """Deliveries that are due. Returns their ids, in the order in which they are."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", :{name}" for name in columns)
    rows = connection.execute(
        text(f"""
            INSERT INTO deliveries (person_id, channel_id, type, lane, due_at{names})
            SELECT :bob, :bob, 'email', :lane, now() - interval '1 minute' + interval '1 millisecond' * number{values}
              FROM generate_series(1, :number) AS number RETURNING id
        """),
        {"bob": BOB, "lane": lane, "number": number, **columns},
    )
    return [str(one) for one in rows.scalars()]


def messages(broker: Redis, queue: Queue) -> list[list[list[Any]]]:
    found = []
    for raw in reversed(broker.lrange(queue, 0, -1)):
        message = json.loads(raw)
        assert message["headers"]["task"] == Task.DELIVER
        found.append(json.loads(base64.b64decode(message["body"]))[0][0])
    return found


def test_each_lane_has_its_queue_and_its_size_of_messages(
    connection: Connection, turn: Callable[..., float], broker: Redis
) -> None:
    made = {lane: deliveries(connection, MESSAGE_SIZE[lane] + 1, lane) for lane in Lane}
    assert turn() == 3.5
    for lane, ids in made.items():
        first, second = messages(broker, QUEUE_OF[lane])
        assert [*first, *second] == [[one, 1] for one in ids]
        assert len(first) == MESSAGE_SIZE[lane]
    turn()
    assert all(broker.llen(queue) == 2 for queue in QUEUE_OF.values())  # leased


def test_what_waits_in_one_lane_does_not_close_the_others(
    connection: Connection, turn: Callable[..., float], broker: Redis
) -> None:
    deliveries(connection, lane=Lane.BULK)
    (urgent,) = deliveries(connection, lane=Lane.URGENT)
    broker.lpush(Queue.DELIVER_BULK, *["{}"] * Deliveries.long_queue)
    assert turn() == LONG_QUEUE_SECONDS
    assert messages(broker, Queue.DELIVER_URGENT) == [[[urgent, 1]]]
    assert connection.scalar(text("SELECT claims FROM deliveries WHERE lane = 2")) == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"state": "sent", "finished_at": "now"},
        {"lease_until": "infinity"},
        {"message_id": BOB},  # it goes out with another
    ],
)
def test_what_is_finished_or_held_or_part_of_a_digest_is_left_alone(
    connection: Connection, turn: Callable[..., float], broker: Redis, columns: dict[str, Any]
) -> None:
    deliveries(connection, **columns)
    turn()
    assert messages(broker, Queue.DELIVER) == []


def test_what_was_being_sent_when_its_lease_ran_out_is_marked(
    connection: Connection, turn: Callable[..., float], broker: Redis
) -> None:
    (one,) = deliveries(connection, sending=True, claims=1, lease_until="2020-01-01")
    (other,) = deliveries(connection, claims=1, lease_until="2020-01-01")
    attempt = "INSERT INTO delivery_attempts (delivery_id, number) VALUES (:id, 1)"
    connection.execute(text(attempt), {"id": one})
    turn()
    rows = connection.execute(text("SELECT id, outcome_unknown, tries, sending, claims FROM deliveries"))
    assert {str(row.id): tuple(row)[1:] for row in rows} == {one: (True, 1, False, 2), other: (False, 0, False, 2)}
    assert connection.execute(text("SELECT outcome FROM delivery_attempts")).scalars().all() == ["unknown"]
    assert sorted(messages(broker, Queue.DELIVER)[0]) == sorted([[one, 2], [other, 2]])


def test_a_message_says_since_when_it_is_due_and_whether_it_was_handed_out_before(
    connection: Connection, turn: Callable[..., float], broker: Redis
) -> None:
    one, _ = deliveries(connection, 2)
    turn()
    connection.execute(text("UPDATE deliveries SET lease_until = NULL"))  # given back
    turn()
    expired = "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE id = :id"
    connection.execute(text(expired), {"id": one})
    turn()
    headers = [json.loads(raw)["headers"] for raw in reversed(broker.lrange(Queue.DELIVER, 0, -1))]
    (oldest,) = connection.execute(text("SELECT EXTRACT(epoch FROM min(due_at))::float FROM deliveries")).scalars()
    assert [(one["due"], one["again"]) for one in headers[:2]] == [(oldest, False)] * 2
    assert headers[2]["again"]


def test_what_the_broker_does_not_take_is_released(
    connection: Connection, turn: Callable[..., float], broker: Redis
) -> None:
    deliveries(connection)
    turn()
    connection.execute(text("UPDATE deliveries SET lease_until = now() - interval '1 second'"))
    broker.delete(Queue.DELIVER)
    broker.config_set("maxmemory", "1")
    try:
        with pytest.raises(Exception, match=r"OOM|memory"):
            turn()
    finally:
        broker.config_set("maxmemory", "256mb")
    assert connection.scalar(text("SELECT lease_until IS NULL FROM deliveries")) is True
    turn()
    assert len(messages(broker, Queue.DELIVER)) == 1


def test_two_dispatchers_share_nothing(
    connection: Connection, settings: Settings, turn: Callable[..., float], broker: Redis, worker_engine: Engine
) -> None:
    deliveries(connection, 5)
    with worker_engine.connect() as other:
        other.exec_driver_sql("SELECT FROM deliveries ORDER BY due_at LIMIT 2 FOR UPDATE")
        turn()
    assert [len(message) for message in messages(broker, Queue.DELIVER)] == [3]
