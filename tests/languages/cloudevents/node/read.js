// Reads Kafka records with the CloudEvents SDK: a record per line in, what the SDK makes of it per line out.
import { createInterface } from "node:readline";
import { Kafka } from "cloudevents";

for await (const line of createInterface({ input: process.stdin })) {
  const { key, value, headers } = JSON.parse(line);
  const event = Kafka.toEvent({ key, value, headers, timestamp: "0" });
  event.validate();
  const { data, ...attributes } = event.toJSON();
  console.log(JSON.stringify({ attributes, data }));
}
