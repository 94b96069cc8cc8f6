"""Every error this package raises.

InferenceError
├── ModelError        the model directory is missing, damaged or of another kind
├── InvalidTokens     ids that would crash the C++ engine; refused before they reach it
├── EngineClosed      the engine was closed while a caller was waiting
└── RedactionFailed   an event could not be redacted and must not leave (`egress/redaction.py`)
"""


class InferenceError(Exception):
    """Base of everything `inference` raises; the message is one sentence a person can act on."""


class ModelError(InferenceError):
    """The model directory is missing, damaged, or made for another version."""


class InvalidTokens(InferenceError, ValueError):  # noqa: N818 - named after what it is
    """Token ids CTranslate2 would answer with a crash of the process: none at all, too many, or out of range."""


class EngineClosed(InferenceError):  # noqa: N818 - a state, not a fault
    """The engine was closed before this call could be answered."""
