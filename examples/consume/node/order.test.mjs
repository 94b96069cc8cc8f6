// The order of decisions, in the cases that ../order-cases.json lists for every language. Run it
// with `node --test`; it needs no package.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { currentRow, rowKey } from "./order.mjs";

const cases = JSON.parse(readFileSync(new URL("../order-cases.json", import.meta.url)));

function decision([digest, partition, offset, revision, second = 0]) {
  return {
    id: "t-1",
    domain: "tickets",
    tenant: "acme",
    revision,
    input_digest: digest,
    origin: { topic: "triage.tickets.v1", partition, offset },
    timing: { received_at: `2026-02-02T02:40:0${second}.250Z` },
  };
}

for (const each of cases) {
  test(each.case, () => {
    const decisions = each.decisions.map(decision);
    let row;
    const current = decisions.map((next) => {
      row = currentRow(row, next);
      return decisions.indexOf(row.decision);
    });
    assert.deepEqual(current, each.current);
  });
}

test("a row that has not changed is the same object", () => {
  const first = decision(["A", 0, 5, 1]);
  const row = currentRow(undefined, first);
  assert.equal(currentRow(row, decision(["A", 0, 5, 0])), row);
});

test("two tenants may use the same id", () => {
  const one = decision(["A", 0, 5, 0]);
  assert.notEqual(rowKey(one), rowKey({ ...one, tenant: "other" }));
});
