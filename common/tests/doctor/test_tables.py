import pytest
from planner_common import schema
from planner_common.doctor import Status
from planner_common.sealing import Sealer
from pydantic import SecretStr
from sqlalchemy import Connection, text

from common.tests.doctor.conftest import Look


def test_tables_as_they_should_be(look: Look) -> None:
    for name in ("schema", "indexes", "encryption keys"):
        finding = look(name)
        assert (finding.status, finding.advice) == (Status.OK, ""), finding


@pytest.mark.parametrize(("version", "advice"), [("0001", "planner migrate"), ("9999", "upgrade what runs here")])
def test_a_database_of_another_version(look: Look, connection: Connection, version: str, advice: str) -> None:
    update = text("UPDATE alembic_version SET version_num = :version")
    connection.execute(update, {"version": version})
    try:
        finding = look("schema")
    finally:
        connection.execute(update, {"version": schema.head()})
    assert finding.status is Status.FAILED
    assert f"at version {version}, this code needs {schema.head()}" in finding.found
    assert advice in finding.advice


def test_an_empty_database(look: Look, database: str) -> None:
    """Other checks want its tables; each says so for itself."""
    empty = database.rpartition("/")[0] + "/postgres"
    finding = look("schema", database_url=empty)
    assert (finding.status, finding.advice) == (Status.FAILED, "planner migrate")
    assert look("backlog", database_url=empty).status is Status.FAILED
    assert look("database", database_url=empty).status is Status.OK


@pytest.mark.parametrize("index", ["ix_changes_due", "uq_notifications_change_id_person_id", "pk_deliveries"])
def test_an_index_that_is_missing(look: Look, connection: Connection, index: str) -> None:
    connection.exec_driver_sql(f"ALTER INDEX {index} RENAME TO hidden")
    try:
        finding = look("indexes")
    finally:
        connection.exec_driver_sql(f"ALTER INDEX hidden RENAME TO {index}")
    assert (finding.status, finding.found) == (Status.FAILED, f"missing: {index}")


def test_an_index_that_was_not_finished(look: Look, connection: Connection) -> None:
    """As one is left by a CREATE INDEX CONCURRENTLY that failed."""
    update = "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'ix_changes_due'::regclass"
    connection.exec_driver_sql(update.format(False))
    try:
        finding = look("indexes")
    finally:
        connection.exec_driver_sql(update.format(True))
    assert (finding.status, finding.found) == (Status.FAILED, "invalid: ix_changes_due")
    assert finding.advice == "REINDEX INDEX CONCURRENTLY ix_changes_due"


def test_keys_that_open_what_is_sealed(look: Look, connection: Connection) -> None:
    old = SecretStr("a key of old, which is long enough too")
    insert = text("INSERT INTO channels (person_id, type, name, address) VALUES (uuidv7(), 'webhook', 'w', :sealed)")
    connection.execute(insert, {"sealed": Sealer(old).seal({"url": "https://example.org"})})
    finding = look("encryption keys")
    assert (finding.status, finding.found) == (Status.FAILED, "none of them opens a row of channels")
    both = SecretStr(f"another key for tests, long enough as well,{old.get_secret_value()}")
    assert look("encryption keys", encryption_keys=both).status is Status.OK
    assert look("encryption keys", encryption_keys=None).found == "ENCRYPTION_KEYS is not set here"
