from typing import Any
from uuid import UUID

import pytest
from planner_api.inbox import LAST, NEWEST, NEWEST_UNREAD
from planner_common.people import person_id
from sqlalchemy import Connection, text


async def inbox(person: Any, **params: Any) -> list[dict[str, Any]]:
    answer = await person.get("/notifications", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def unread(person: Any) -> int:
    number: int = (await person.get("/notifications/count")).json()["unread"]
    return number


async def test_a_notification_says_all_that_the_contract_promises(teller: Any, ann: Any, ben: Any) -> None:
    change = teller.change("update", {"location": ["here", "there"]}, actor=ann.person_id)
    teller.participant(ben.person_id, change - 1)
    [notification_id] = teller.tell([ben.person_id], change)
    [item] = await inbox(ben)
    assert item.pop("created_at").endswith("Z")
    assert item == {
        "id": str(notification_id),
        "kind": "update",
        "event": {
            "id": str(teller.event),
            "title": "Standup",
            "starts_at": "2026-03-29T07:00:00Z",
            "status": "confirmed",
        },
        "revision": 2,
        "summary": "В событии «Standup» изменено: место.",  # noqa: RUF001  # Russian
        "data": {"location": ["here", "there"]},
        "read_at": None,
    }


async def test_the_first_participants_are_told_of_an_invitation(teller: Any, ann: Any, ben: Any) -> None:
    teller.tell([ben.person_id], kind="creation", actor=ann.person_id)
    [item] = await inbox(ben)
    assert item["kind"] == "invitation"
    assert item["summary"].startswith("Ann приглашает вас на «Standup»")


async def test_pages_go_from_the_newest_to_the_oldest(teller: Any, ben: Any) -> None:
    ids = [str(told) for _ in range(5) for told in teller.tell([ben.person_id])]
    found = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await ben.get("/notifications", params=params)).json()
        found.append([item["id"] for item in page["items"]])
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert found == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


async def test_unread_is_what_is_left_when_some_were_read(teller: Any, ben: Any) -> None:
    first, second, third = (str(told) for _ in range(3) for told in teller.tell([ben.person_id]))
    assert await unread(ben) == 3
    for _ in range(2):
        assert (await ben.post(f"/notifications/{second}/read")).status_code == 204
        assert [item["id"] for item in await inbox(ben, unread=True)] == [third, first]
        assert await unread(ben) == 2
    for _ in range(2):
        assert (await ben.post(f"/notifications/{second}/unread")).status_code == 204
        assert await unread(ben) == 3
    for _ in range(2):
        assert (await ben.post("/notifications/read", json={"up_to": second})).status_code == 204
        assert [item["id"] for item in await inbox(ben, unread=True)] == [third]


async def test_what_was_read_keeps_the_time_when_it_was(teller: Any, ben: Any) -> None:
    [notification_id] = teller.tell([ben.person_id])
    await ben.post(f"/notifications/{notification_id}/read")
    [before] = await inbox(ben)
    assert before["read_at"] is not None
    await ben.post(f"/notifications/{notification_id}/read")
    await ben.post("/notifications/read", json={"up_to": str(notification_id)})
    assert await inbox(ben) == [before]


async def test_nobody_sees_or_marks_what_is_not_theirs(teller: Any, ann: Any, ben: Any) -> None:
    [notification_id] = teller.tell([ben.person_id])
    assert await inbox(ann) == []
    for path in (f"/notifications/{notification_id}/read", f"/notifications/{notification_id}/unread"):
        assert (await ann.post(path)).status_code == 404
    assert (await ann.post("/notifications/read", json={"up_to": str(notification_id)})).status_code == 404
    assert await unread(ben) == 1
    [item] = await inbox(ben)
    assert item["read_at"] is None


async def test_only_own_ones_are_marked_up_to_an_id(teller: Any, ann: Any, ben: Any) -> None:
    teller.tell([ann.person_id])
    [newest] = teller.tell([ben.person_id])
    assert (await ben.post("/notifications/read", json={"up_to": str(newest)})).status_code == 204
    assert await unread(ann) == 1


async def test_a_guest_who_registers_finds_what_was_sent_before(teller: Any, join: Any) -> None:
    teller.tell([person_id("Guest@Example.org")])
    guest = join("Guest")
    assert [item["kind"] for item in await inbox(guest)] == ["invitation"]


async def test_who_left_is_not_told_what_happened_later(
    teller: Any, ann: Any, ben: Any, connection: Connection
) -> None:
    invited = teller.change("invitation")
    teller.tell([ben.person_id], invited)
    removed = teller.change("removal", {"removed": ["ben@example.org", "eve@example.org"]}, actor=ann.person_id)
    teller.participant(ben.person_id, invited, removed)
    teller.tell([ben.person_id, ann.person_id], removed)
    now = {"date_time": "2026-04-01T09:00:00", "time_zone": "Europe/Berlin"}
    was = {"date_time": "2026-03-29T09:00:00", "time_zone": "Europe/Berlin"}
    teller.change("reschedule", {"start": [was, now], "title": ["Standup", "Secret"]})
    teller.change("cancellation", {"status": ["confirmed", "cancelled"]})
    teller.change("update", {"title": ["Secret", "Top secret"]})
    connection.execute(
        text("UPDATE events SET title = 'Top secret', starts_at = '2026-04-01 07:00Z', status = 'cancelled'")
    )
    for item in await inbox(ben):
        assert (item["event"]["title"], item["event"]["starts_at"]) == ("Standup", "2026-03-29T07:00:00Z")
        assert item["event"]["status"] == "confirmed"
        assert "Standup" in item["summary"]
        assert item["data"] == {}
    [item] = await inbox(ann)
    assert item["event"]["title"] == "Top secret"


async def test_of_long_texts_a_notification_shows_the_beginning(teller: Any, ben: Any) -> None:
    teller.tell([ben.person_id], kind="update", diff={"description": [None, "a" * 20_000]})
    [item] = await inbox(ben)
    assert item["data"] == {"description": [None, "a" * 200 + "…"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/notifications?limit=0", None, 422),
        ("GET", "/notifications?cursor=nonsense", None, 422),
        ("GET", "/notifications?unread=perhaps", None, 422),
        ("POST", "/notifications/nonsense/read", None, 422),
        ("POST", "/notifications/read", {"up_to": "nonsense"}, 422),
        ("POST", "/notifications/read", {}, 422),
        ("POST", "/notifications/read", {"up_to": str(UUID(int=0)), "all": True}, 422),
        ("POST", "/notifications/read", {"up_to": str(UUID(int=0))}, 404),
        ("GET", "/notifications/stream?last_event_id=nonsense", None, 422),
        ("GET", "/notifications/stream?last_event_id=00000000-0000-4000-8000-000000000000", None, 422),
    ],
)
async def test_bad_input_is_a_problem(ben: Any, method: str, path: str, body: Any, status: int) -> None:
    answer = await ben.request(method, path, **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["", "/count", "/stream"])
async def test_nobody_has_no_inbox(ben: Any, path: str) -> None:
    answer = await ben.get(f"/notifications{path}", headers={"Authorization": ""})
    assert answer.status_code == 401


@pytest.mark.parametrize("statement", [NEWEST, NEWEST_UNREAD])
async def test_a_page_is_read_from_an_index(teller: Any, ben: Any, connection: Connection, statement: str) -> None:
    """However many notifications there are: no table is read through, and none of theirs is sorted."""
    change = teller.change()
    connection.execute(
        text("INSERT INTO notifications (change_id, person_id) SELECT -i, uuidv7() FROM generate_series(1, 20000) i")
    )
    connection.execute(
        text("INSERT INTO notifications (change_id, person_id) SELECT :change - i, :p FROM generate_series(1, 9) i"),
        {"change": change + 10, "p": ben.person_id},
    )
    connection.exec_driver_sql("ANALYZE notifications")
    for number, value in enumerate((f"{{{ben.person_id}}}", f"{{{LAST}}}", "{51}"), start=1):
        statement = statement.replace(f"${number}", f"'{value}'")
    plan = "\n".join(connection.exec_driver_sql("EXPLAIN " + statement).scalars())
    scan = next(line for line in plan.splitlines() if "on notifications" in line)
    assert "Index" in scan, plan
    assert "Seq Scan on notifications" not in plan
