"""All the channels there are."""

from planner_common.deliveries import ChannelType
from planner_common.settings import Settings

from planner_worker.channels import Channel
from planner_worker.channels.apprise import Apprise
from planner_worker.channels.email import Email
from planner_worker.channels.webhook import Webhook


def make_channels(settings: Settings) -> dict[ChannelType, Channel]:
    """One of each, in the event loop that is to use them. Raises ValueError for settings that make no sense."""
    channels: list[Channel] = [Webhook(settings), Apprise(settings)]
    if settings.smtp_url is not None:
        channels.append(Email(settings))
    return {channel.type: channel for channel in channels}
