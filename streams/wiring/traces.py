"""The traces, opened as the configuration asks."""

from inference.errors import ConfigError
from streams.config import Settings
from streams.traces import NO_TRACES, Traces


def open_traces(settings: Settings) -> Traces:
    """What follows events; without `[traces] enabled`, nothing does, and nothing is imported.

    Raises:
        ConfigError: the packages are missing, or a variable ``OTEL_…`` cannot be used.
    """
    if not settings.traces.enabled:
        return NO_TRACES
    try:
        from streams.spans import exporting  # noqa: PLC0415 - packages of an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"needs the package {error.name}; run `pip install 'triage-stream[traces]'`, or set it "
            "to false",
            key="traces.enabled",
        ) from None
    return exporting(settings.kafka.group_id)
