"""Events through the API: made, read, changed, and what the change log says of it."""

EVENT = {
    "title": "Retrospective",
    "start": {"date_time": "2031-03-28T09:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2031-03-28T10:00:00", "time_zone": "Europe/Berlin"},
}


async def test_an_event_is_made_and_read(register):
    ann, bob = await register("Ann"), await register("Bob")
    made = await ann.post("/events", json={**EVENT, "participants": [{"email": "BOB@example.org"}]})
    assert made.status_code == 201, made.text
    read = await bob.get(made.headers["Location"].removeprefix("/api/v1"))
    assert read.json() == {**made.json(), "my_response": "needs_action"}
