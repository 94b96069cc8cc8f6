"""Which decision about an event is the current one.

The triaged topics may bring the same record twice, a later revision of a decision, and, for a
sender that uses an id again, a newer message about the same ticket. `current_row` says what becomes
of the row that a table keeps for the id. `docs/how-to/consume.md` explains the order.
"""

from typing import Any

Decision = dict[str, Any]
"""The JSON of one record of a triaged topic."""

Row = dict[str, Any]
"""`decision` is the current one; `read` says where and when the newest copy of its message lay."""


def row_key(decision: Decision) -> tuple[str, str, str]:
    """What a row is about. An id alone is not enough: two tenants may use the same one."""
    return decision["domain"], decision["tenant"], decision["id"]


def current_row(row: Row | None, decision: Decision) -> Row:
    """The row after a decision has come. The very same row is returned if nothing has changed."""
    read = {**decision["origin"], "received_at": decision["timing"]["received_at"]}
    if row is None:
        return {"decision": decision, "read": read}
    if _same_message(row, decision, read):
        later = decision["revision"] > row["decision"]["revision"]
        newer = _order(read, row["read"]) > 0
        if not later and not newer:
            return row  # a redelivery, or a revision that was overtaken
        return {
            "decision": decision if later else row["decision"],
            "read": read if newer else row["read"],
        }
    order = _order(read, row["read"])
    # Two events of one record have the same place, and their first revisions come in their order.
    if order > 0 or (order == 0 and decision["revision"] == 0):
        return {"decision": decision, "read": read}
    return row  # it is about an older message


def _same_message(row: Row, decision: Decision, read: dict[str, Any]) -> bool:
    digests = (row["decision"]["input_digest"], decision["input_digest"])
    if None in digests:  # decisions of the first release have none
        return _order(read, row["read"]) == 0
    return bool(digests[0] == digests[1])


def _order(one: dict[str, Any], other: dict[str, Any]) -> int:
    """1 if `one` was read after `other`, -1 if before, 0 at the same place.

    Inside a partition offsets count. Between partitions only the times can be compared; they are
    all written in the same form, so their order is that of the texts.
    """
    if (one["topic"], one["partition"]) == (other["topic"], other["partition"]):
        first, second = one["offset"], other["offset"]
    else:
        first, second = one["received_at"], other["received_at"]
    return int(first > second) - int(first < second)
