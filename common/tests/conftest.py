import pytest
from sqlalchemy import Connection

from common.tests.domain import Domain


@pytest.fixture
def domain(connection: Connection) -> Domain:
    return Domain(connection)
