// Hire a person: a row of our own table and an event of the log, in one transaction. Prints the token.
import pg from "pg";

const [id, name] = process.argv.slice(2);
const event = {
  type: "PersonCreated",
  occurredAt: new Date().toISOString(),
  actor: "hr-desk",
  sourceSystem: "hr",
  subjects: [id],
  payload: { name },
};
const expected = { [`holon/${id}`]: 0 }; // the stream must not exist yet, otherwise SQLSTATE HS003

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
try {
  await client.query("CREATE TABLE IF NOT EXISTS people (id text PRIMARY KEY, name text NOT NULL)");
  await client.query("BEGIN");
  const { rows } = await client.query("SELECT token FROM holonstream.append_events($1::jsonb, $2::jsonb)", [
    JSON.stringify([event]),
    JSON.stringify(expected),
  ]);
  await client.query("INSERT INTO people VALUES ($1, $2)", [id, name]);
  await client.query("COMMIT");
  console.log(rows[0].token);
} catch (error) {
  await client.query("ROLLBACK");
  console.error(`${error.code}: ${error.message}`); // HS003: Wrong expected version ...
  process.exitCode = 1;
} finally {
  await client.end();
}
