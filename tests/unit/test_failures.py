"""Whose fault a failure is: that of one event, of the agent, or of the broker."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

import aiokafka.errors
import pytest
from aiokafka.errors import KafkaError

from agents.outcomes import Incoming, Outcome, Triaged
from inference.errors import ConfigError
from streams.errors import BrokerUnreachable, DeliveryFailed, StreamError
from streams.pipeline import failures as module
from streams.pipeline.failures import AtOnce, FailureIsolation
from tests.doubles import incoming
from tests.records import triaged


def errors_of_kafka() -> Iterator[type[Exception]]:
    """Every error that aiokafka defines."""
    for value in vars(aiokafka.errors).values():
        if isinstance(value, type) and issubclass(value, KafkaError):
            yield value


def made(kind: type[Exception]) -> Exception:
    """An error of this kind, whatever its constructor asks for."""
    error = kind.__new__(kind)
    Exception.__init__(error, "said by the broker")
    if not hasattr(error, "errno"):
        error.errno = -1  # type: ignore[attr-defined] # its `str` needs it
    return error


class Process:
    """Raises the given errors, one per call, and then decides."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls: list[int] = []

    async def __call__(self, batch: Sequence[Incoming]) -> list[Outcome]:
        """Process a batch."""
        self.calls.append(len(batch))
        if self.errors:
            raise self.errors.pop(0)
        return [Triaged(triaged()) for _ in batch]


class Gives:
    """Gives the outcomes of some events, and then raises the next error, if there is one."""

    def __init__(self, *errors: Exception, before: int = 2) -> None:
        self.errors = list(errors)
        self.before = before
        self.calls: list[list[int]] = []

    async def __call__(
        self, batch: Sequence[Incoming]
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """Process a batch, from its end on."""
        self.calls.append([record.origin.offset for record in batch])
        for given, place in enumerate(reversed(range(len(batch)))):
            if given == self.before and self.errors:
                raise self.errors.pop(0)
            yield place, Triaged(triaged(str(batch[place].origin.offset)))


async def run(
    isolation: FailureIsolation, process: Process, batch: Sequence[Incoming]
) -> list[Outcome]:
    """The outcomes of a batch, in order."""
    outcomes = dict([each async for each in isolation.run(AtOnce(process), batch)])
    return [outcomes[place] for place in range(len(batch))]


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(module, "RETRY_S", 0.0)


def test_the_errors_of_the_broker_are_found() -> None:
    """The test below would walk over nothing."""
    assert len(set(errors_of_kafka())) > 90


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("kind", list(dict.fromkeys(errors_of_kafka())))
async def test_no_error_of_the_broker_is_the_fault_of_an_event(
    kind: type[Exception], size: int
) -> None:
    """Healthy cases would become dead letters because one partition has no leader."""
    isolation, process = FailureIsolation("enrich"), Process(made(kind), made(kind))
    outcomes = await run(isolation, process, [incoming(offset) for offset in range(size)])
    assert [type(outcome) for outcome in outcomes] == [Triaged] * size
    assert process.calls == [size] * 3


@pytest.mark.parametrize("error", [DeliveryFailed("gone"), BrokerUnreachable("away")])
async def test_our_own_errors_of_the_broker_are_waited_for(error: StreamError) -> None:
    """The same outage would stop the worker if our own code notices it first."""
    process = Process(error)
    assert await run(FailureIsolation("enrich"), process, [incoming()]) == [Triaged(triaged())]


async def test_an_error_of_the_broker_about_one_event_alone_is_the_brokers_too() -> None:
    """An outage in the middle of a search for a bad event would make it one."""
    process = Process(ValueError("a bug"), KafkaError("no leader"))
    outcomes = await run(FailureIsolation("enrich"), process, [incoming(0), incoming(1)])
    assert [type(outcome) for outcome in outcomes] == [Triaged] * 2
    assert process.calls == [2, 1, 2]


async def test_people_are_told_while_an_agent_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker would be ready while it does nothing, or unready for ever after."""
    monkeypatch.setattr(module, "RETRY_S", 3600.0)
    isolation = FailureIsolation("enrich")
    waiting = asyncio.create_task(run(isolation, Process(KafkaError("no leader")), [incoming()]))
    await asyncio.sleep(0)
    assert isolation.why_waiting is not None
    assert isolation.why_waiting.startswith("enrich waits for the broker (")
    assert "no leader" in isolation.why_waiting
    assert isolation.why_waiting in caplog.text
    waiting.cancel()
    await run(isolation, Process(), [incoming()])
    assert isolation.why_waiting is None


async def test_a_configuration_that_cannot_be_used_is_no_fault_of_an_event() -> None:
    """Every case would become a dead letter because a key of the configuration is wrong."""
    with pytest.raises(ConfigError):
        await run(FailureIsolation("enrich"), Process(ConfigError("no key")), [incoming()])


def offset_of(outcome: Outcome) -> str:
    """The event that an outcome is about."""
    assert isinstance(outcome, Triaged)
    return outcome.triaged.id


@pytest.mark.parametrize("error", [ValueError("one of them is bad"), KafkaError("no leader")])
async def test_an_outcome_that_was_given_stands(error: Exception) -> None:
    """An event would be published twice because another one of its batch failed."""
    process = Gives(error)
    batch = [incoming(offset) for offset in range(5)]
    outcomes = [each async for each in FailureIsolation("classify").run(process, batch)]
    assert sorted(place for place, _ in outcomes) == [0, 1, 2, 3, 4]
    assert [offset_of(outcome) for _, outcome in sorted(outcomes)] == list("01234")
    again = [[0], [1], [2]] if isinstance(error, ValueError) else [[0, 1, 2]]
    assert process.calls == [[0, 1, 2, 3, 4], *again]


@pytest.mark.parametrize("places", [[0], [0, 1, 1], [0, 1, 2]])
async def test_an_agent_that_miscounts_is_at_fault_itself(places: list[int]) -> None:
    """An event would end with the outcome of another one, or never."""

    async def process(batch: Sequence[Incoming]) -> AsyncGenerator[tuple[int, Outcome], None]:
        for place in places:
            yield place, Triaged(triaged())

    with pytest.raises(AssertionError, match="outcome"):
        async for _ in FailureIsolation("classify").run(process, [incoming(0), incoming(1)]):
            pass


async def test_an_agent_that_returns_too_little_is_at_fault_itself() -> None:
    """Events of a verdict's batch would be given the outcomes of others."""

    async def process(batch: Sequence[Incoming]) -> list[Outcome]:
        return [Triaged(triaged())] * (len(batch) - 1)

    with pytest.raises(AssertionError, match="1 outcomes for 2 events"):
        async for _ in FailureIsolation("feedback").run(
            AtOnce(process), [incoming(0), incoming(1)]
        ):
            pass
