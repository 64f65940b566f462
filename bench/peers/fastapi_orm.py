"""The usual way: FastAPI, the ORM's synchronous session in a thread, and a Celery task for each participant."""

import os
from datetime import datetime
from uuid import UUID, uuid4

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from bench.peers.store import Notification
from bench.peers.with_celery import tell

engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"), pool_size=10)


class Base(DeclarativeBase):
    pass


class Event(Base):
    __tablename__ = "peer_events"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    title: Mapped[str]
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    participants: Mapped[list["Participant"]] = relationship(back_populates="event")


class Participant(Base):
    __tablename__ = "peer_participants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    event_id: Mapped[UUID] = mapped_column(ForeignKey("peer_events.id"), index=True)
    email: Mapped[str] = mapped_column(index=True)
    event: Mapped[Event] = relationship(back_populates="participants")


class Moment(BaseModel):
    date_time: datetime
    time_zone: str


class ParticipantIn(BaseModel):
    email: str


class EventIn(BaseModel):
    title: str
    start: Moment
    end: Moment
    participants: list[ParticipantIn]


class EventOut(BaseModel):
    id: UUID
    title: str
    starts_at: datetime
    ends_at: datetime


Base.metadata.create_all(engine)
app = FastAPI()


@app.post("/events", status_code=201)
def create_event(body: EventIn) -> EventOut:
    with Session(engine, expire_on_commit=False) as session:
        event = Event(title=body.title, starts_at=body.start.date_time, ends_at=body.end.date_time)
        event.participants = [Participant(email=participant.email) for participant in body.participants]
        session.add(event)
        session.commit()
        for participant in event.participants:
            tell.delay(event.number, str(participant.id))
        return EventOut(id=event.id, title=event.title, starts_at=event.starts_at, ends_at=event.ends_at)


@app.get("/events/{event_id}/notifications")
def list_notifications(event_id: UUID) -> list[UUID]:
    """Of everybody in the event: what a client asks that waits for one."""
    with Session(engine) as session:
        told = select(Notification.person_id).join(Event, Event.number == Notification.change_id)
        return list(session.scalars(told.where(Event.id == event_id)))
