"""What the LLM has cost, read from the triaged topics."""

from inference.llm.spending import Spending
from schemas.event import DOMAINS
from streams.config import Settings
from streams.errors import TopicsMissing
from streams.kafka.admin import admin_client
from streams.kafka.reader import since
from streams.topics import Topics
from streams.trust import Trust


async def read_spending(settings: Settings, spending: Spending) -> None:
    """Add both triaged topics to `spending`, from their beginning until now.

    With a worker key, records that no worker has signed are not counted.

    Raises:
        ConfigError: the worker key cannot be read.
        BrokerUnreachable: no broker answers.
        TopicsMissing: there is no triaged topic to read.
    """
    topics = Topics(settings.topics.prefix)
    trust = Trust.of(settings)
    names = [topics.triaged(domain) for domain in DOMAINS]
    await _check_present(settings, names)
    async for record in since(settings.kafka, names, 0.0):
        if record.value is None:
            continue
        if trust.believes(record):
            spending.read(record.value)
        else:
            spending.refuse()


async def _check_present(settings: Settings, names: list[str]) -> None:
    async with admin_client(settings) as client:
        missing = set(names) - set(await client.list_topics())
    if missing:
        raise TopicsMissing(
            f"there is no topic {min(missing)}; run `triage topics create` or set topics.prefix"
        )
