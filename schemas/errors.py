"""Every error this package raises.

SchemaError
└── InvalidEvent      the bytes on a topic are not an event; ends in a dead letter
"""


class SchemaError(Exception):
    """Base of everything `schemas` raises; the message is one sentence a person can act on."""


class InvalidEvent(SchemaError):  # noqa: N818 - named after what it is in the field
    """The bytes cannot be read as an event, now or on any retry.

    `stage` names the step that refused them (``decode``, ``recognise`` or ``validate``); it becomes the
    dead letter's ``__connect.errors.stage`` header.
    """

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage
