"""Every error this package raises.

StreamError
├── ConfigError       the configuration cannot be used; exit code 2
├── BrokerUnreachable no broker answers at the configured address
├── TopicsMissing     topics are absent or not as they must be
├── DeliveryFailed    the broker did not acknowledge an output; nothing was acked, the worker stops
├── OffsetGap         records between two offsets were skipped although they exist; the worker stops
└── DamagedBatch      the broker's bytes at an offset cannot be read
"""


class StreamError(Exception):
    """Base of everything `streams` raises; the message is one sentence a person can act on."""


class ConfigError(StreamError):
    """The configuration cannot be used."""


class BrokerUnreachable(StreamError):  # noqa: N818 - a state of the world
    """No broker answers at the configured address."""


class TopicsMissing(StreamError):  # noqa: N818 - a state of the world
    """Topics are absent or not as they must be."""


class DeliveryFailed(StreamError):  # noqa: N818 - what happened
    """The broker did not acknowledge an output in time: its input stays unacked and the group takes over."""


class OffsetGap(StreamError):  # noqa: N818 - what was seen
    """The consumer jumped over records that exist: going on would lose them."""


class DamagedBatch(StreamError):  # noqa: N818 - what was found
    """The broker's bytes at a place fail their CRC, or cannot be taken apart."""
