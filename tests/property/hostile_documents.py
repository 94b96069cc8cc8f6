"""Hostile documents: the samples that ship, damaged and wrapped in envelopes by a seeded random."""

import base64
import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from tests.shipped_samples import shipped_samples

Wrap = Callable[[Any], Any]

_NAMES: Final = (
    *("id", "tenant", "kind", "title", "event", "source", "attributes", "specversion", "type"),
    *("data", "data_base64", "Records", "records", "value", "message", "severity", "status", ""),
    *("a.b", "class_uid", "@timestamp", "ecs.version", "finding_info", "text", "body", "link"),
)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1e308, 2**63, 2.0**60, 10**18, "", " ", "\x00", "\u202e" * 3),
    *("x" * 600, "x" * 3_000, "<b>x</b>", "&lt;p&gt;", "{", "[1]", '{"a":{"b":1}}', "eyJhIjoxfQ=="),
    *("\x1b]0;x\x07", "javascript:x", "http://u:p@x/", "2026-01-01T00:00:00Z"),
    *([], {}, [[]], [{}], [None], {"": ""}, {"a.b": 1}, ["a", "b"], {"name": "High"}),
    *([{"text": "x"}] * 3, {"type": "doc", "content": []}, {"$ref": 1}),
)


def _in_json(document: Any) -> str:
    return document if isinstance(document, str) else orjson.dumps(document).decode()


def _in_base64(document: Any) -> str:
    return base64.b64encode(_in_json(document).encode()).decode()


_TIME: Final = "2026-01-01T00:00:00Z"
WRAPS: Final[tuple[Wrap, ...]] = (
    lambda x: {"detail-type": "t", "detail": x, "source": "s", "id": "eb-1", "account": "1234"},
    lambda x: {"Type": "Notification", "MessageId": "m", "Message": _in_json(x), "TopicArn": "arn"},
    lambda x: {"MessageId": "q", "ReceiptHandle": "rh", "Body": _in_json(x)},
    lambda x: {"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": _in_json(x)}]},
    lambda x: {
        "Records": [{"EventSource": "aws:sns", "Sns": {"Message": _in_json(x), "Subject": "subj"}}]
    },
    lambda x: {
        "Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": _in_base64(x), "key": "pk"}}]
    },
    lambda x: {"requestId": "r", "timestamp": 1767225600000, "records": [{"data": _in_base64(x)}]},
    lambda x: {
        "messageType": "DATA_MESSAGE",
        "logGroup": "lg",
        "logEvents": [{"id": "1", "message": _in_json(x)}],
    },
    lambda x: {"message": {"data": _in_base64(x), "messageId": "pm"}, "subscription": "sub"},
    lambda x: {"receivedMessages": [{"message": {"data": _in_base64(x), "messageId": "pm"}}]},
    lambda x: {"eventType": "et", "eventTime": _TIME, "dataVersion": "1", "data": x, "topic": "tp"},
    lambda x: {"sid": "sid", "search_name": "sn", "result": {"_raw": _in_json(x), "host": "hh"}},
    lambda x: {"event": x, "sourcetype": "st", "host": "hh", "time": 1767225600},
    lambda x: {"message": _in_json(x), "@timestamp": _TIME, "agent": {"type": "filebeat"}},
    lambda x: {"log": _in_json(x), "stream": "stdout"},
    lambda x: {"specversion": "1.0", "id": "ce", "type": "ty", "source": "/s", "data": x},
    lambda x: {"specversion": "1.0", "type": "ty", "data_base64": _in_base64(x), "tenant": "outer"},
    lambda x: [x],
    lambda x: [x, x],
    lambda x: {"Findings": [x, x], "region": "eu", "next": None},
    lambda x: {"value": [x, 7, x], "@odata.context": "ctx"},
    lambda x: {"id": "n", "kind": "alert", "title": "ours", "event": x},
    lambda x: {"payload": _in_json(x)},
    lambda x: {"event": x},
)


def hostile_documents(seed: int, count: int) -> Iterator[Any]:
    """Documents, or texts of what is not JSON; the same seed gives the same ones."""
    source = random.Random(seed)
    samples = [sample.record for sample in shipped_samples()]
    for _ in range(count):
        document = _damaged(source, copy.deepcopy(source.choice(samples)))
        for _ in range(source.choice((0, 1, 1, 2, 2, 3, 4))):
            document = source.choice(WRAPS)(document)
        yield _damaged(source, document) if source.random() < 0.2 else document


def _damaged(source: random.Random, document: Any) -> Any:
    for _ in range(source.choice((0, 1, 1, 2, 4))):
        places = list(_places(document))
        if places:
            _damage(source, *source.choice(places))
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict | list):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            yield from ((node, key) for key in keys)
            waiting += [node[key] for key in keys]


def _damage(source: random.Random, node: Any, key: Any) -> None:
    """Replace, remove, add, copy, wrap or write as a string one value."""
    name = source.choice(_NAMES) if isinstance(node, dict) else key
    match source.randrange(6):
        case 0:
            node[key] = copy.deepcopy(source.choice(_VALUES))
        case 1:
            del node[key]
        case 2:
            node[name] = copy.deepcopy(source.choice(_VALUES))
        case 3:
            node[name] = copy.deepcopy(node[key])
        case 4:
            node[key] = [node[key]]
        case _:
            node[key] = _in_json(node[key])
