"""The table of the scenarios."""

from tests.chaos.broker_faults import (
    break_network,
    fail_disk,
    kill_broker,
    kill_two_brokers,
    lose_output_leader,
    place_output,
    restart_brokers,
    restart_controller,
    upgrade_brokers,
)
from tests.chaos.run import Scenario
from tests.chaos.topic_faults import (
    abort_transactions,
    add_partitions,
    compact,
    expire_unread,
    make_compacted,
    recreate_topic,
    recreate_topic_longer,
)
from tests.chaos.worker_faults import (
    freeze_worker,
    jump_clock,
    kill_worker,
    meet_old_version,
    own_clock,
    own_model,
    replace_model,
    restart_workers,
    scale,
)

SCENARIOS = (
    Scenario(
        "worker-killed", "kill -9 of one of two workers, back after 15 s", kill_worker, short=True
    ),
    Scenario(
        "worker-frozen", "SIGSTOP of a worker for 15 s, then SIGCONT", freeze_worker, short=True
    ),
    Scenario("workers-1-4-1", "from one worker to four and back", scale, workers=1, short=True),
    Scenario("workers-restarted", "rolling restart of three workers", restart_workers, workers=3),
    Scenario("broker-killed", "kill -9 of one broker, back after 15 s", kill_broker, short=True),
    Scenario("brokers-restarted", "rolling restart of all three brokers", restart_brokers),
    Scenario("two-brokers-killed", "kill -9 of two brokers, back after 15 s", kill_two_brokers),
    Scenario("controller-restarted", "restart of the active controller", restart_controller),
    Scenario("disk-failed", "every write of one broker to its disk fails", fail_disk),
    Scenario(
        "network",
        "connections of all workers are cut, slowed, half-closed, silent, refused",
        break_network,
        proxied=True,
        short=True,
    ),
    Scenario(
        "output-leaderless",
        "one output partition has no leader",
        lose_output_leader,
        prepare=place_output,
    ),
    Scenario("retention", "retention overtakes a group that is behind", expire_unread),
    Scenario(
        "compaction",
        "an input topic is compacted and has tombstones",
        compact,
        prepare=make_compacted,
    ),
    Scenario("transactions", "every second transaction of a producer aborts", abort_transactions),
    Scenario("partitions-added", "an input topic gets two more partitions", add_partitions),
    Scenario("topic-recreated", "an input topic is deleted and made again", recreate_topic),
    Scenario(
        "topic-recreated-longer",
        "the same, and the new log grows at once beyond what was read of the old one",
        recreate_topic_longer,
    ),
    Scenario(
        "model-replaced",
        "the model directory is deleted and replaced; one worker restarts",
        replace_model,
        prepare=own_model,
    ),
    Scenario(
        "clock-jumps",
        "the clocks of the workers jump by hours and years, ahead and back",
        jump_clock,
        prepare=own_clock,
    ),
    Scenario(
        "two-versions",
        "workers join a group that an older version still holds",
        meet_old_version,
        workers=0,
    ),
    Scenario(
        "brokers-upgraded",
        "rolling upgrade of all three brokers",
        upgrade_brokers,
        kafka_version="4.0.0",
    ),
)
