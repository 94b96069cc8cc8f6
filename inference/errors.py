"""Every exception that this package raises.

InferenceError        base class; raised itself if the small model fails on an event
├── ConfigError       the configuration cannot be used; the command line ends with exit code 2
├── ModelError        the model directory is missing, damaged or made for another version
├── InvalidTokens     token ids that would crash the C++ engine; refused before they reach it
├── EngineClosed      the engine was closed before a call was answered
├── DataError         a file of events or of labelled rows cannot be used
├── EvaluationError   the labelled rows cannot be evaluated as asked
├── GateError         the file of bars for `triage evaluate --gate` is wrong
├── RedactionFailed   an event could not be redacted and must not leave
└── LlmFailure        a prompt to an LLM ended without an answer (`llm/client/failure.py`)
"""


class InferenceError(Exception):
    """Base class of all errors of `inference`. The message is one sentence that says what to do."""


class ConfigError(InferenceError):
    """The configuration cannot be used; `key` names the key or table that is wrong.

    The command line ends with exit code 2. `streams` raises this type for its own tables too.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


class ModelError(InferenceError):
    """The model directory is missing, damaged or made for another version."""


class InvalidTokens(InferenceError, ValueError):  # noqa: N818 - named after what it is
    """The token ids would crash CTranslate2: there are none, too many, or some are out of range."""


class EngineClosed(InferenceError):  # noqa: N818 - a state, not a fault
    """The engine was closed before this call was answered."""


class DataError(InferenceError):
    """A file of labelled rows cannot be used."""


class EvaluationError(InferenceError):
    """The labelled rows cannot be evaluated as asked."""


class GateError(InferenceError):
    """The file of bars cannot be read, or it names something that does not exist."""


class RedactionFailed(InferenceError):  # noqa: N818 - named after what the caller has to act on
    """The event must not leave. The message says why, and contains nothing of the event."""
