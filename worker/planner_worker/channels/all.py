"""All the channels there are: for each type the module of its name."""

from importlib import import_module

from planner_common.deliveries import ChannelType
from planner_common.settings import Settings

from planner_worker.channels import Channel

MODULES = {channel_type: import_module(f"planner_worker.channels.{channel_type}") for channel_type in ChannelType}


def make_channels(settings: Settings) -> dict[ChannelType, Channel]:
    """Those that are set up, made in the event loop that uses them. Raises ValueError for senseless settings."""
    made = {channel_type: module.CHANNEL(settings) for channel_type, module in MODULES.items()}
    return {channel_type: channel for channel_type, channel in made.items() if channel is not None}
