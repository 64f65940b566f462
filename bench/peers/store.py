"""The row that each peer's task inserts, by SQLAlchemy's ORM in its own session."""

import os
from uuid import UUID

from sqlalchemy import FetchedValue, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker


class Base(DeclarativeBase):
    pass


class Notification(Base):
    __tablename__ = "notifications"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=FetchedValue())
    change_id: Mapped[int]


engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"), pool_size=8)
sessions: sessionmaker[Session] = sessionmaker(engine)


def tell(change_id: int, person_id: str) -> None:
    with sessions() as session:
        session.add(Notification(change_id=change_id, person_id=UUID(person_id)))
        session.commit()
