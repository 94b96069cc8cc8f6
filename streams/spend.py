"""What the LLM has cost, read from the triaged topics."""

from inference.llm.spending import Spending
from schemas.event import DOMAINS
from streams.config import Settings
from streams.kafka.admin import check_present
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
    await check_present(settings, names)
    async for record in since(settings.kafka, names, 0.0):
        if record.value is None:
            continue
        if trust.believes(record):
            spending.read(record.value)
        else:
            spending.refuse()
