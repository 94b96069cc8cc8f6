"""Every exception that this package raises.

SchemaError           base class, never raised itself
└── InvalidEvent      the bytes of a record are not an event; the record becomes a dead letter
    └── LimitExceeded  they may be one, but they are beyond a limit and were not read

A wrong `schemas.formats.Mapping` raises ``ValueError``, which msgspec turns into its own
``ValidationError`` while it reads the configuration.
"""


class SchemaError(Exception):
    """Base class of all errors of `schemas`. The message is one sentence that says what to do."""


class InvalidEvent(SchemaError):  # noqa: N818 - named after what it is in the field
    """The bytes cannot be read as an event, and no retry can change that.

    `stage` names the step that refused them: ``decode``, ``recognise``, ``validate``,
    ``authenticate`` (nobody entitled has signed the record) or ``authorize`` (whoever has signed it
    may not say this). It becomes the header ``__connect.errors.stage`` of the dead letter.
    """

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class LimitExceeded(InvalidEvent):
    """The record has more bytes, values or levels than `schemas.limits` allows."""
