"""Faults of the brokers and of the network before them."""

import asyncio

from aiokafka.admin import NewTopic
from aiokafka.partitioner import DefaultPartitioner

from streams.kafka.admin import admin_client
from streams.local.brokers.java import KAFKA_VERSION
from tests.chaos.cluster import BROKERS
from tests.chaos.run import Run
from tests.chaos.worker_faults import BEYOND_SESSION_S

CATCH_UP_S = 5.0
"""So long a broker that is back may copy what it missed before the next one is stopped."""


async def kill_broker(run: Run) -> None:
    """Kill a broker, and start it again."""
    await asyncio.to_thread(run.cluster.kill_node, 1)
    await asyncio.sleep(BEYOND_SESSION_S)
    await asyncio.to_thread(run.cluster.start_node, 1)


async def restart_brokers(run: Run) -> None:
    """Restart all brokers, one after the other."""
    for index in range(BROKERS):
        await asyncio.to_thread(run.cluster.stop_node, index)
        await asyncio.to_thread(run.cluster.start_node, index)
        await asyncio.sleep(CATCH_UP_S)


async def upgrade_brokers(run: Run) -> None:
    """Upgrade all brokers, one after the other, and then the format of what they keep."""
    before = run.cluster.version
    for index in range(BROKERS):
        await asyncio.to_thread(run.cluster.upgrade_node, index, KAFKA_VERSION)
        await asyncio.sleep(CATCH_UP_S)
    await asyncio.to_thread(run.cluster.finish_upgrade, KAFKA_VERSION)
    run.notes.append(f"from Kafka {before} to {KAFKA_VERSION}, and then its metadata version")


async def kill_two_brokers(run: Run) -> None:
    """Kill two brokers of three: no record can be acknowledged by two, and no leader elected."""
    for index in (1, 2):
        await asyncio.to_thread(run.cluster.kill_node, index)
    await asyncio.sleep(BEYOND_SESSION_S)
    for index in (1, 2):
        await asyncio.to_thread(run.cluster.start_node, index)


async def restart_controller(run: Run) -> None:
    """Restart the node that is the active controller, also as a broker."""
    index = run.cluster.active_controller()
    await asyncio.to_thread(run.cluster.stop_node, index)
    await asyncio.sleep(CATCH_UP_S)
    after = run.cluster.active_controller()
    run.notes.append(f"the active controller moved from node {index + 1} to node {after + 1}")
    await asyncio.to_thread(run.cluster.start_node, index)


async def fail_disk(run: Run) -> None:
    """Let every write of one broker to its disk fail, and start it again later."""
    run.cluster.fail_writes(1)
    ended = await run.until(lambda: not run.cluster.running(1), "the broker ends", 60)
    if ended:
        run.notes.append("the broker ends by itself when it cannot write")
    await asyncio.sleep(BEYOND_SESSION_S)
    await asyncio.to_thread(run.cluster.kill_node, 1)
    await asyncio.to_thread(run.cluster.start_node, 1)


async def break_network(run: Run) -> None:
    """Cut, slow, half-close, silence and refuse the connections of all workers."""
    proxy = run.proxy
    for _ in range(4):
        proxy.cut()
        await asyncio.sleep(2)
    proxy.delay_s = 0.4
    await asyncio.sleep(8)
    proxy.delay_s = 0.0
    proxy.half_close()
    await asyncio.sleep(4)
    proxy.passing.clear()
    await asyncio.sleep(BEYOND_SESSION_S)
    proxy.passing.set()
    proxy.refusing = True
    proxy.cut()
    await asyncio.sleep(BEYOND_SESSION_S)
    proxy.refusing = False
    run.notes.append(f"the workers made {proxy.connections} connections")


async def place_output(run: Run) -> None:
    """Make the triaged topic of alerts so that the second broker alone has its first partition.

    Each of the others is on one broker, too, because all partitions have as many replicas.
    """
    places = {number: [1 + 2 * (number % 2)] for number in range(run.scenario.partitions)}
    name = run.topics.triaged("alerts")
    configs = run.topics.configs(name) | {"min.insync.replicas": "1"}
    topic = NewTopic(name, -1, -1, replica_assignments=places | {0: [2]}, topic_configs=configs)
    async with admin_client(run.settings) as client:
        response = await client.create_topics([topic])
    assert not response.topic_errors[0][1], response


async def lose_output_leader(run: Run) -> None:
    """Kill the only broker of one output partition; what goes to the others must flow."""
    await asyncio.to_thread(run.cluster.kill_node, 1)
    await asyncio.sleep(BEYOND_SESSION_S)  # the other partitions elect their leaders meanwhile
    sent = [await run.sender.send_one("alerts") for _ in range(40)]
    flowing = [id_ for id_ in sent if _partition(run, id_) != 0]
    await run.out(flowing, "alerts for the partitions that have a leader are out")
    stuck = set(sent) - set(flowing)
    early = stuck & run.observer.seen_at_s.keys()
    run.notes.append(
        f"without the leader the {len(flowing)} alerts for other partitions came out, and "
        f"{len(early)} of {len(stuck)} for the lost one"
    )
    named = f"{run.topics.triaged('alerts')}[0] has no leader"
    await run.until(
        lambda: all(named in worker.get("/ready")[1] for worker in run.workers),
        "/ready names the partition",
        30,
    )
    await asyncio.to_thread(run.cluster.start_node, 1)


def _partition(run: Run, id_: str) -> int:
    """The partition of the triaged topic that an event goes to."""
    numbers = list(range(run.scenario.partitions))
    number: int = DefaultPartitioner()(id_.encode(), numbers, numbers)
    return number
