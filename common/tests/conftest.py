import pytest
from sqlalchemy import Connection

from common.tests.delivered import log, send
from common.tests.domain import Domain


@pytest.fixture
def domain(connection: Connection) -> Domain:
    return Domain(connection)


@pytest.fixture
def routed(connection: Connection) -> Domain:
    """Five deliveries, not sent yet."""
    return log(connection)


@pytest.fixture
def sent(routed: Domain) -> Domain:
    send(routed.connection)
    return routed
