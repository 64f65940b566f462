"""Messages as plain text, for channels that have no templates of their own: a title and a body."""

from dataclasses import dataclass

from planner_common.deliveries import Purpose
from planner_common.summaries import Reader, locale_of, summary

from planner_worker.channels import Item, Message

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "digest": "Planner: {count} notifications",
        "code title": "Planner: your code",
        "code": "The code that confirms this channel is {code}.",
        "test title": "Planner: a test",
        "test": "This channel works: notifications will arrive here.",
        "location": "Where: {value}",
        "url": "Link: {value}",
    },
    "ru": {
        "digest": "Planner: уведомлений — {count}",
        "code title": "Planner: ваш код",
        "code": "Код для подтверждения этого канала: {code}.",
        "test title": "Planner: проверка",
        "test": "Канал работает: уведомления будут приходить сюда.",
        "location": "Место: {value}",
        "url": "Ссылка: {value}",
    },
}


@dataclass(frozen=True, slots=True)
class Text:
    title: str
    body: str


def sentence(item: Item, reader: Reader) -> str:
    """What this notification says, in the reader's language and zone."""
    return summary(item.kind, item.title, item.start, item.actor, item.diff, reader=reader)


def text_of(message: Message) -> Text:
    """The message in the reader's language."""
    texts = TEXTS[locale_of(message.reader.locale).language]
    if message.purpose is not Purpose.NOTIFICATION:
        return Text(texts[f"{message.purpose} title"], texts[message.purpose].format(code=message.code))
    if len(message.items) > 1:
        body = "\n".join(f"- {sentence(item, message.reader)}" for item in message.items)
        return Text(texts["digest"].format(count=len(message.items)), body)
    [item] = message.items
    more = [texts[name].format(value=value) for name in ("location", "url") if (value := getattr(item, name))]
    return Text(item.title, "\n".join([sentence(item, message.reader), *more]))
