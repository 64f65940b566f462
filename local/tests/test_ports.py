import socket

import pytest
from planner_local import ports
from planner_local.servers import free_port
from planner_local.supervisor import StartError


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Two neighbours that are free now, so that the machine's own ports don't matter."""
    first = next(port for port in iter(free_port, None) if ports.problem(port + 1) is None)
    monkeypatch.setattr(ports, "USUAL", {"API_PORT": first, "FLOWER_PORT": first + 1})
    return ports.USUAL


def test_the_usual_ports_are_taken_if_they_are_free(usual: dict[str, int]) -> None:
    assert ports.choose({}) == (usual, [])


def test_a_port_in_use_makes_way_for_the_next_that_is_nobodys(usual: dict[str, int]) -> None:
    with socket.create_server(("127.0.0.1", usual["API_PORT"])):
        chosen, told = ports.choose({})
    assert chosen["API_PORT"] > usual["FLOWER_PORT"] == chosen["FLOWER_PORT"]
    assert told == [f"port {usual['API_PORT']} is taken: API_PORT is {chosen['API_PORT']}"]


def test_a_port_that_is_asked_for_is_given_and_avoided_by_others(usual: dict[str, int]) -> None:
    chosen, _ = ports.choose({"API_PORT": str(usual["FLOWER_PORT"])})
    assert chosen["API_PORT"] == usual["FLOWER_PORT"] != chosen["FLOWER_PORT"]


def test_a_port_that_is_asked_for_and_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"^API_PORT={port} is taken. Choose another"):
            ports.choose({"API_PORT": str(port)})


def test_a_server_on_all_addresses_counts_too(usual: dict[str, int]) -> None:
    with socket.create_server(("0.0.0.0", usual["API_PORT"])):  # noqa: S104  # as Docker's proxy does
        assert ports.problem(usual["API_PORT"]) == "is taken"


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", ""])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(StartError, match="is not a port"):
        ports.choose({"FLOWER_PORT": port})


def test_one_port_can_not_be_given_twice() -> None:
    port = str(free_port())
    with pytest.raises(StartError, match="something else"):
        ports.choose({"API_PORT": port, "FLOWER_PORT": port})
