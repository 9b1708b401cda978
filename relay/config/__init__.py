"""Configuration: command line and file in, frozen values out."""

from relay.config.load import Loaded, load
from relay.config.settings import ConfigError, Interface, Settings

__all__ = ["ConfigError", "Interface", "Loaded", "Settings", "load"]
