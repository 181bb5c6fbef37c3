// PlanetScale's driver against a router's HTTP API: `node serverless.js JSON` with {http, user, password}.
// Prints one line a check and "done"; the first failure ends it with status 1.
"use strict";

const assert = require("node:assert");
const { connect, Client, DatabaseError, cast } = require("@planetscale/database");

const { http, user, password } = JSON.parse(process.argv[2]);
const checks = [];
const check = (name, run) => checks.push([name, run]);

// What goes over the wire is kept, for the checks that are about it.
const seen = [];
const viaHttp = async (url, init) => {
  const to = new URL(url);
  to.protocol = "http:";
  to.host = http;
  const answer = await fetch(to, init);
  const text = await answer.text();
  seen.push({ path: to.pathname, asked: JSON.parse(init.body), told: JSON.parse(text), status: answer.status });
  return { ok: answer.ok, status: answer.status, statusText: answer.statusText, json: async () => JSON.parse(text), text: async () => text };
};
const config = { host: "serverless", username: user, password, fetch: viaHttp };
const last = () => seen[seen.length - 1];
const post = (procedure, body, headers = {}) =>
  fetch(`http://${http}/psdb.v1alpha1.Database/${procedure}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: "Basic " + btoa(`${user}:${password}`), ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const refused = (code, status, text) => (error) => {
  assert.ok(error instanceof DatabaseError, String(error));
  assert.strictEqual(error.body.code, code, error.message);
  assert.strictEqual(error.status, status);
  assert.match(error.message, text);
  return true;
};

check("a first statement, and the session that the second echoes", async () => {
  const conn = connect(config);
  const found = await conn.execute("select 1");
  assert.deepStrictEqual(found.rows, [{ 1: found.types[1] === "INT64" ? "1" : 1 }]);
  assert.deepStrictEqual(found.headers, ["1"]);
  assert.match(found.types[1], /^INT(32|64)$/); // MariaDB's literals are INT
  assert.strictEqual(found.rowsAffected, 0);
  assert.strictEqual(found.insertId, "0");
  assert.ok(found.time > 0 && found.size === 1 && found.statement === "select 1");
  assert.strictEqual(last().asked.session, null);
  const { session } = last().told;
  await conn.execute("select database() as d, version() as v");
  assert.deepStrictEqual(last().asked.session, session);
});

check("values of all types", async () => {
  const conn = connect(config);
  await conn.execute("DELETE FROM everything");
  const text = "Zażółć 😀 \\ ' \" \0 end /* not a comment */ ? :x";
  const bytes = new Uint8Array([0, 255, 39, 92]);
  await conn.execute(
    "INSERT INTO everything (id, vc, vb, de, dt, bi) VALUES (?, ?, ?, ?, ?, ?), (2, '', x'', 0, NULL, -1), (:id, NULL, NULL, NULL, NULL, NULL)"
      .replace(":id", "3"),
    [1, text, bytes, "12.50", new Date("2026-02-03T04:05:06.000Z"), "9223372036854775807"],
  );
  const { rows, types } = await conn.execute("SELECT id, vc, vb, de, dt, bi FROM everything ORDER BY id");
  assert.strictEqual(rows[0].vc, text);
  assert.deepStrictEqual(rows[0].vb, bytes);
  assert.match(rows[0].de, /^12\.50*$/);
  assert.match(rows[0].dt, /^2026-02-03 04:05:06/);
  assert.strictEqual(rows[0].bi, "9223372036854775807");
  assert.deepStrictEqual([types.vc, types.vb, types.de, types.dt, types.bi], ["VARCHAR", "VARBINARY", "DECIMAL", "DATETIME", "INT64"]);
  assert.strictEqual(rows[1].vc, "");
  assert.deepStrictEqual(rows[1].vb, new Uint8Array());
  assert.deepStrictEqual(Object.values(rows[2]).slice(1), [null, null, null, null, null]);
  const named = await conn.execute("SELECT vc FROM everything WHERE id IN (:ids) ORDER BY id", { ids: [1, 2] }, { as: "array" });
  assert.deepStrictEqual(named.rows, [[text], [""]]);
  const asNumber = (field, value) => (field.type === "INT64" ? BigInt(value) : cast(field, value));
  const cast1 = await conn.execute("SELECT bi FROM everything WHERE id = 1", [], { cast: asNumber });
  assert.strictEqual(cast1.rows[0].bi, 9223372036854775807n);
  const twice = "select 'x' as a, 'y' as a";
  assert.deepStrictEqual((await conn.execute(twice)).rows, [{ a: "y" }]);
  assert.deepStrictEqual((await conn.execute(twice, null, { as: "array" })).rows, [["x", "y"]]);
  const odd = await conn.execute("select ? as d, ? as s, ? as t, ? as n", [new Date(0), "a'b\\c\"d", true, null]);
  assert.deepStrictEqual(odd.rows[0].d + odd.rows[0].s + odd.rows[0].n, "1970-01-01T00:00:00.000a'b\\c\"dnull");
});

check("sharded writes and scatter reads", async () => {
  const conn = connect(config);
  await conn.execute("DELETE FROM customer");
  const one = await conn.execute("INSERT INTO customer (name, country) VALUES (?, ?)", ["a", "DE"]);
  assert.strictEqual(one.rowsAffected, 1);
  assert.ok(Number(one.insertId) >= 1000000);
  assert.strictEqual((await conn.execute("SELECT LAST_INSERT_ID() AS id")).rows[0].id, one.insertId);
  for (let at = 0; at < 10; at++) await conn.execute("INSERT INTO customer (name, country) VALUES (?, 'PL')", [`n${at}`]);
  const { rows } = await conn.execute("SELECT country, COUNT(*) AS n FROM customer GROUP BY country ORDER BY country");
  assert.deepStrictEqual(rows, [{ country: "DE", n: "1" }, { country: "PL", n: "10" }]);
  assert.strictEqual((await conn.execute("UPDATE customer SET country = 'FR' WHERE country = 'PL'")).rowsAffected, 10);
});

check("errors are of the statement, and the session goes on", async () => {
  const conn = connect(config);
  await conn.execute("SET @kept = 'here'");
  await assert.rejects(conn.execute("SELECT nosuch FROM product"), refused("NOT_FOUND", 400, /nosuch.*\(errno 1054\) \(sqlstate 42S22\)/));
  await assert.rejects(conn.execute("SELEC 1"), refused("INVALID_ARGUMENT", 400, /\(errno 1064\)/));
  await assert.rejects(conn.execute("SELECT * FROM no_such_table"), refused("NOT_FOUND", 400, /\(errno 1146\)/));
  await conn.execute("DELETE FROM counter");
  await conn.execute("INSERT INTO counter (id, owner) VALUES (1, 1)");
  await assert.rejects(conn.execute("INSERT INTO counter (id, owner) VALUES (1, 1)"), refused("ALREADY_EXISTS", 400, /\(errno 1062\)/));
  assert.strictEqual((await conn.execute("SELECT @kept AS k")).rows[0].k, "here");
});

check("what a session sets travels with it, to any worker", async () => {
  const conn = connect(config);
  await conn.execute("SET time_zone = '+05:00', @a = 7");
  await conn.execute("SET autocommit = 1");
  await conn.execute("USE main");
  const workers = new Set();
  for (let at = 0; at < 8 || (workers.size < 2 && at < 200); at++) {
    const { rows } = await conn.execute("SELECT @@time_zone AS z, @a + 0 AS a, DATABASE() AS d, CONNECTION_ID() AS id");
    assert.deepStrictEqual([rows[0].z, Number(rows[0].a), rows[0].d], ["+05:00", 7, "main"]);
    workers.add(Number(rows[0].id) >> 16); // its upper half
  }
  assert.strictEqual(workers.size, 2);
  const other = (await connect(config).execute("SELECT @a AS a, DATABASE() AS d")).rows[0];
  assert.deepStrictEqual(other, { a: null, d: "commerce" });
  const before = last().told.session;
  await assert.rejects(conn.execute("SET sql_mode = 'NO_BACKSLASH_ESCAPES'"), refused("UNIMPLEMENTED", 400, /NO_BACKSLASH_ESCAPES/));
  await assert.rejects(conn.execute("SET NAMES latin1"), refused("UNIMPLEMENTED", 400, /utf8mb4/));
  assert.strictEqual((await conn.execute("SELECT 'a\\'b' AS s, @@character_set_results AS c")).rows[0].s, "a'b");
  assert.ok(before);
});

check("transactions are committed and rolled back", async () => {
  const client = new Client(config);
  await client.execute("DELETE FROM counter");
  const told = await client.transaction(async (tx) => {
    for (let id = 1; id <= 6; id++) await tx.execute("INSERT INTO counter (id, owner) VALUES (?, ?)", [id, id]);
    const outside = await client.execute("SELECT COUNT(*) AS n FROM counter");
    assert.strictEqual(outside.rows[0].n, "0");
    return (await tx.execute("SELECT COUNT(*) AS n FROM counter")).rows[0].n;
  });
  assert.strictEqual(told, "6");
  const begin = seen.findIndex((one) => one.asked.query === "BEGIN");
  assert.strictEqual(seen[begin].asked.session, null);
  assert.ok(seen[begin].told.session.vitessSession.inTransaction);
  const own = new Error("the application's own");
  await assert.rejects(client.transaction(async (tx) => {
    await tx.execute("DELETE FROM counter");
    throw own;
  }), (error) => error === own);
  assert.strictEqual(last().asked.query, "ROLLBACK");
  assert.ok(!last().told.session.vitessSession.inTransaction);
  assert.strictEqual((await client.execute("SELECT COUNT(*) AS n FROM counter")).rows[0].n, "6");
  // statements of one transaction sent at once run in their order
  await client.transaction((tx) => Promise.all([7, 8, 9].map((id) => tx.execute("INSERT INTO counter (id, owner) VALUES (?, 1)", [id]))));
  assert.strictEqual((await client.execute("SELECT COUNT(*) AS n FROM counter")).rows[0].n, "9");
  const conn = connect(config);
  await conn.execute("SET autocommit = 0");
  await conn.execute("DELETE FROM counter");
  await conn.execute("ROLLBACK");
  await conn.execute("SET autocommit = 1");
  assert.strictEqual((await conn.execute("SELECT COUNT(*) AS n FROM counter")).rows[0].n, "9");
  await client.execute("DELETE FROM counter");
});

check("what is held is held: locks and temporary tables", async () => {
  const conn = connect(config);
  await conn.execute("USE main");
  await conn.execute("CREATE TEMPORARY TABLE http_temp (id INT)");
  await conn.execute("INSERT INTO http_temp VALUES (5)");
  for (let at = 0; at < 4; at++) assert.deepStrictEqual((await conn.execute("SELECT id FROM http_temp")).rows, [{ id: 5 }]);
  await conn.execute("DROP TEMPORARY TABLE http_temp");
});

check("a transaction that was ended says so until ROLLBACK", async () => {
  const conn = connect(config);
  const killer = connect(config);
  await conn.execute("BEGIN");
  await conn.execute("INSERT INTO counter (id, owner) VALUES (77, 1)");
  const id = (await conn.execute("SELECT CONNECTION_ID() AS id")).rows[0].id;
  await killer.execute(`KILL ${id}`);
  for (let at = 0; at < 2; at++)
    await assert.rejects(conn.execute("INSERT INTO counter (id, owner) VALUES (78, 1)"), refused("ABORTED", 400, /killed.*\(errno 15009\)/));
  await assert.rejects(conn.execute("COMMIT"), refused("ABORTED", 400, /\(errno 15009\)/));
  await conn.execute("ROLLBACK");
  assert.strictEqual((await conn.execute("SELECT COUNT(*) AS n FROM counter")).rows[0].n, "0");
});

check("a transaction without requests ends", async () => {
  const conn = connect(config);
  const other = connect(config);
  await conn.execute("BEGIN");
  await conn.execute("INSERT INTO counter (id, owner) VALUES (79, 1)");
  const id = (await conn.execute("SELECT CONNECTION_ID() AS id")).rows[0].id;
  await conn.execute("SET wait_timeout = 1");
  const isThere = async () => (await other.execute("SHOW PROCESSLIST")).rows.some((row) => String(row.Id) === String(id));
  for (let at = 0; (await isThere()) && at < 300; at++) await new Promise((resolve) => setTimeout(resolve, 100));
  await assert.rejects(conn.execute("SELECT 1 FROM counter"), refused("ABORTED", 400, /transaction was lost.*\(errno 15009\)/));
  await conn.execute("ROLLBACK");
  assert.strictEqual((await conn.execute("SELECT COUNT(*) AS n FROM counter")).rows[0].n, "0");
});

check("variables too large for a token stay with their worker", async () => {
  const conn = connect(config);
  await conn.execute("SET @large = REPEAT('x', 100000)");
  assert.ok(JSON.stringify(last().told.session).length < 1000);
  for (let at = 0; at < 4; at++) assert.strictEqual(Number((await conn.execute("SELECT LENGTH(@large) AS n")).rows[0].n), 100000);
  await conn.execute("SET @large = NULL");
  assert.deepStrictEqual((await conn.execute("SELECT @large AS l")).rows, [{ l: null }]);
});

check("many at once", async () => {
  const found = await Promise.all(Array.from({ length: 50 }, (_, at) => new Client(config).execute("SELECT ? + 0 AS n, COUNT(*) AS c FROM product", [at])));
  assert.deepStrictEqual(found.map((one) => Number(one.rows[0].n)), Array.from({ length: 50 }, (_, at) => at));
});

check("refresh, and connecting by url", async () => {
  const conn = connect(config);
  await conn.refresh();
  assert.strictEqual(last().path, "/psdb.v1alpha1.Database/CreateSession");
  assert.deepStrictEqual(last().asked, {});
  assert.ok(last().told.session);
  await conn.execute("SELECT 1");
  const plain = connect({ url: `http://hashed:hashed@${http}` });
  assert.strictEqual((await plain.execute("SELECT USER() AS u")).rows.length, 1);
});

check("who is refused, and how", async () => {
  const wrong = connect({ ...config, password: "wrong" });
  await assert.rejects(wrong.execute("SELECT 1"), refused("unauthenticated", 401, /Access denied for user.*\(errno 1045\)/));
  await assert.rejects(connect({ ...config, username: "nobody" }).execute("SELECT 1"), refused("unauthenticated", 401, /Access denied/));
  const conn = connect(config);
  await conn.execute("SET @a = 1");
  const { session } = last().told;
  const state = JSON.parse(atob(session.vitessSession.state));
  state.keyspace = "main";
  const forged = { ...session, vitessSession: { ...session.vitessSession, state: btoa(JSON.stringify(state)) } };
  for (const one of [forged, { signature: "AAAA", vitessSession: session.vitessSession }, { a: 1 }, "x", 5]) {
    const answer = await post("Execute", { query: "SELECT 1", session: one });
    const told = await answer.json();
    assert.strictEqual(answer.status, 400, JSON.stringify(told));
    assert.strictEqual(told.error.code, "invalid_argument");
    assert.strictEqual(told.code, told.error.code);
  }
  const stolen = await post("Execute", { query: "SELECT 1", session }, { Authorization: "Basic " + btoa("hashed:hashed") });
  assert.strictEqual(stolen.status, 400);
  assert.match((await stolen.json()).message, /another user/);
  assert.strictEqual((await post("Execute", "{nonsense")).status, 400);
  assert.strictEqual((await post("Execute", { query: "SELECT 1" }, { "Content-Type": "text/plain" })).status, 415);
  assert.strictEqual((await post("Execute", { query: "SELECT 1" }, { Authorization: "" })).status, 401);
  assert.strictEqual((await post("StreamExecute", {})).status, 501);
  assert.strictEqual((await post("Nonsense", {})).status, 404);
  const preflight = await fetch(`http://${http}/psdb.v1alpha1.Database/Execute`, { method: "OPTIONS" });
  assert.strictEqual(preflight.status, 204);
  assert.strictEqual(preflight.headers.get("access-control-allow-origin"), "*");
  assert.match(preflight.headers.get("access-control-allow-headers"), /Authorization/);
});

(async () => {
  for (const [name, run] of checks) {
    try {
      await run();
    } catch (error) {
      console.error(`${name}: ${error.stack}`);
      process.exit(1);
    }
    console.log(name);
  }
  console.log("done");
})();
