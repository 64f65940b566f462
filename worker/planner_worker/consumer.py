"""Celery's consumer, made to bear a broker that is away or frozen: what it does then is seen, bounded and quiet."""

import time
from collections.abc import Callable
from typing import Any

from celery.events import dispatcher
from celery.worker import consumer
from planner_common.logging import get_logger, in_short
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from planner_worker.heartbeat import progressed

RETRY_SECONDS = 1
"""Celery would wait 2, 4, … 30 s between its attempts to connect, and all work with it."""
MUTE_SECONDS = 10
"""How long no event is sent after one could not be."""

logger = get_logger("planner_worker")


class Consumer(consumer.Consumer):
    """The consumer of `worker_consumer`."""

    said_until = 0.0
    """Until when it is not said again that Redis refuses to write."""

    def ensure_connected(self, connection: Any) -> Any:
        """Wait for the broker as Celery does, but try again each second and log its absence once.

        Meanwhile the main loop stands still. That the broker is away is not the worker's illness, and restarting it
        would not help, so the heart beats here.
        """
        ensure = connection.ensure_connection
        errors: list[BaseException] = []

        def note(error: BaseException, _interval: float) -> None:
            if not errors:
                errors.append(error)
                logger.warning("dependency away", dependency="redis", error=in_short(error))

        def ensure_connection(_errback: object, max_retries: int | None, callback: Callable[[], None]) -> Any:
            def turn() -> None:
                progressed()
                callback()

            return ensure(
                note,
                max_retries,
                interval_start=RETRY_SECONDS,
                interval_step=RETRY_SECONDS,
                interval_max=RETRY_SECONDS,
                callback=turn,
            )

        connection.ensure_connection = ensure_connection
        return super().ensure_connected(connection)  # type: ignore[no-untyped-call]

    def on_connection_error_after_connected(self, error: BaseException) -> None:
        """Give up a connection that broke, even where kombu trips over what is left of it.

        When a message waits for its acknowledgement, closing the connection asks the transport that collecting it has
        just dropped, and the AttributeError would end the worker (celery 5.7.0, kombu 5.7.0).
        """
        if isinstance(error, ResponseError):
            self.wait_for_writes(error)
        try:
            super().on_connection_error_after_connected(error)  # type: ignore[no-untyped-call]
        except AttributeError as fault:
            logger.debug("the broken connection was not closed in order", error=str(fault))

    def wait_for_writes(self, error: ResponseError) -> None:
        """Redis answers and refuses to write: its disk or memory is full. Connecting would succeed and change nothing.

        Said once in a while, since each new connection comes here again.
        """
        if time.monotonic() >= self.said_until:
            logger.warning("dependency away", dependency="redis", error=in_short(error))
        self.said_until = time.monotonic() + MUTE_SECONDS
        progressed()
        time.sleep(RETRY_SECONDS)

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge (or reject) a message in the main loop, and reconnect if that fails.

        Celery logs the failure and goes on; but the message keeps its place in the prefetch window, and when each place
        is taken the worker takes no more messages, for ever and in silence (celery 5.7.0, Redis frozen for 5 s).
        """

        def settle_or_reconnect() -> None:
            p(*args, **kwargs)
            message = p.__self__
            if not message.acknowledged:
                raise RedisConnectionError("a message could not be acknowledged")

        return super().call_soon_ack(settle_or_reconnect)  # type: ignore[no-untyped-call]


class EventDispatcher(dispatcher.EventDispatcher):
    """Sends the events that Flower shows. They are expendable: one that cannot be sent is dropped, and so are those
    that follow for a while.

    Celery's own retries its heartbeat for ever and keeps the others to try them one by one, all of it in the main loop,
    which a frozen Redis would stop so that not even SIGTERM is heard.
    """

    muted_until = 0.0

    def _publish(self, event: Any, producer: Any, routing_key: Any, *_retry: Any, **_retry_too: Any) -> None:
        if time.monotonic() < self.muted_until:
            return
        super()._publish(event, producer, routing_key)  # type: ignore[no-untyped-call]
        if self._outbound_buffer:
            self._outbound_buffer.clear()
            self.muted_until = time.monotonic() + MUTE_SECONDS
