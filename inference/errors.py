"""Every error this package raises.

InferenceError
├── ConfigError       the configuration asks for what cannot be; exit code 2
├── ModelError        the model directory is missing, damaged or of another kind
├── InvalidTokens     token ids that would crash the C++ engine; refused before they reach it
├── EngineClosed      the engine was closed while a caller was waiting
├── DataError         a file of labelled rows cannot be used
├── EvaluationError   the rows cannot be evaluated as asked
├── GateError         the file of bars for `triage evaluate --gate` is wrong
├── RedactionFailed   an event could not be redacted and must not leave
└── LlmFailure        a call to an LLM ended without an answer (`llm/client/failure.py`)
"""


class InferenceError(Exception):
    """Base of everything `inference` raises; the message is one sentence a person can act on."""


class ConfigError(InferenceError):
    """The configuration cannot be used; `key` names the key or table that is wrong.

    The command line ends with exit code 2. `streams` raises this type for its own tables too.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


class ModelError(InferenceError):
    """The model directory is missing, damaged, or made for another version."""


class InvalidTokens(InferenceError, ValueError):  # noqa: N818 - named after what it is
    """Token ids that CTranslate2 would answer with a crash: none, too many, or out of range."""


class EngineClosed(InferenceError):  # noqa: N818 - a state, not a fault
    """The engine was closed before this call could be answered."""


class DataError(InferenceError):
    """A file of labelled rows cannot be used."""


class EvaluationError(InferenceError):
    """The rows cannot be evaluated as asked."""


class GateError(InferenceError):
    """The file of bars is wrong: it cannot be read, or names what does not exist."""


class RedactionFailed(InferenceError):  # noqa: N818 - named after what the caller has to act on
    """The event must not leave. The message says why and holds nothing of the event."""
