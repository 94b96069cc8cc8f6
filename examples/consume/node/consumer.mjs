// A live view of triaged events: one current row for each event, in memory. Each row that changes
// is printed as one line of JSON.
//
//   npm ci
//   node consumer.mjs --bootstrap-servers 127.0.0.1:9092
//
// The view is built anew at each start, from the oldest record that the topics keep. So it has a
// group of its own and commits nothing. If you write the rows to a database, use one group, and
// commit after the write, as ../python/consumer.py does.
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { Kafka, logLevel } from "kafkajs";
import { currentRow, rowKey } from "./order.mjs";

const { values: options } = parseArgs({
  options: {
    "bootstrap-servers": { type: "string", default: "127.0.0.1:9092" },
    prefix: { type: "string", default: "triage" }, // that of [topics]
  },
});
const rows = new Map();

function take({ topic, partition, message }) {
  let key, row;
  try {
    const decision = JSON.parse(message.value);
    key = rowKey(decision);
    row = currentRow(rows.get(key), decision);
  } catch (error) {
    // Anybody might write to a topic. The offset is text: it may be larger than a number can be.
    const place = `${topic}[${partition}]@${message.offset}`;
    console.error(`${place} holds no triaged event (${error.message}); it is left out`);
    return;
  }
  if (row === rows.get(key)) return;
  rows.set(key, row);
  console.log(JSON.stringify(row.decision));
}

const kafka = new Kafka({
  clientId: "triage-view",
  brokers: options["bootstrap-servers"].split(","),
  logLevel: logLevel.ERROR,
});
const consumer = kafka.consumer({ groupId: `triage-view-${randomUUID()}` });
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => consumer.disconnect().then(() => process.exit(0)));
}
await consumer.connect();
await consumer.subscribe({
  topics: ["alerts", "tickets"].map((domain) => `${options.prefix}.${domain}.triaged.v1`),
  fromBeginning: true,
});
await consumer.run({ autoCommit: false, eachMessage: async (record) => take(record) });
