// Which decision about an event is the current one.
//
// The triaged topics may bring the same record twice, a later revision of a decision, and, for a
// sender that uses an id again, a newer message about the same ticket. `currentRow` says what
// becomes of the row that a table keeps for the id. docs/how-to/consume.md explains the order.

// What a row is about. An id alone is not enough: two tenants may use the same one.
export function rowKey(decision) {
  return JSON.stringify([decision.domain, decision.tenant, decision.id]);
}

// The row after a decision has come. The very same row is returned if nothing has changed.
// A row has the current `decision`, and `read`: where and when the newest copy of its message was
// read.
export function currentRow(row, decision) {
  const read = { ...decision.origin, received_at: decision.timing.received_at };
  if (row === undefined) return { decision, read };
  if (isSameMessage(row, decision, read)) {
    const later = decision.revision > row.decision.revision;
    const newer = order(read, row.read) > 0;
    if (!later && !newer) return row; // a redelivery, or a revision that was overtaken
    return { decision: later ? decision : row.decision, read: newer ? read : row.read };
  }
  const place = order(read, row.read);
  // Two events of one record have the same place, and their first revisions come in their order.
  if (place > 0 || (place === 0 && decision.revision === 0)) return { decision, read };
  return row; // it is about an older message
}

function isSameMessage(row, decision, read) {
  const [one, other] = [row.decision.input_digest, decision.input_digest];
  // Decisions of the first release have no digest.
  if (one == null || other == null) return order(read, row.read) === 0;
  return one === other;
}

// 1 if `one` was read after `other`, -1 if before, 0 at the same place. Inside a partition offsets
// count. Between partitions only the times can be compared; they are all written in the same form,
// so their order is that of the texts.
function order(one, other) {
  const together = one.topic === other.topic && one.partition === other.partition;
  const [first, second] = together
    ? [one.offset, other.offset]
    : [one.received_at, other.received_at];
  return Number(first > second) - Number(first < second);
}
