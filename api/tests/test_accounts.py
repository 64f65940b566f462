"""Accounts and sessions."""


async def test_register_log_in_and_see_oneself(register):
    ann = await register("Ann")
    me = await ann.get("/me")
    assert me.status_code == 200, me.text
    assert me.json()["email"] == "ann@example.org"
