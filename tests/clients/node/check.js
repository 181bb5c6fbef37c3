// mysql2 against a router: `node check.js JSON` with {host, port, user, password, database, ssl?}.
// Prints one line a check and "done"; the first failure ends it with status 1.
"use strict";

const assert = require("node:assert");
const mysql = require("mysql2/promise");

const options = JSON.parse(process.argv[2]);
const checks = [];
const check = (name, run) => checks.push([name, run]);

check("ping, version, database", async (cnx) => {
  await cnx.ping();
  const [[row]] = await cnx.query("SELECT VERSION() AS v, DATABASE() AS d");
  assert.match(row.v, /-Sluice$/);
  assert.strictEqual(row.d, "commerce");
});

check("values as text and prepared", async (cnx) => {
  const values = [
    [1, "Zażółć 😀 \\ ' \" \0 end", Buffer.from([0, 255, 39, 92]), "12.50", new Date("2026-02-03T04:05:06Z"), "9223372036854775807"],
    [2, "", Buffer.alloc(0), "-0.01", null, "-9223372036854775808"],
    [3, null, null, null, null, null],
  ];
  for (const way of ["query", "execute"]) {
    await cnx.query("DELETE FROM everything");
    for (const row of values) {
      const [done] = await cnx[way]("INSERT INTO everything (id, vc, vb, de, dt, bi) VALUES (?, ?, ?, ?, ?, ?)", row);
      assert.strictEqual(done.affectedRows, 1);
    }
    for (const row of values) {
      const [rows] = await cnx[way]("SELECT id, vc, vb, de, dt, bi FROM everything WHERE id = ?", [row[0]]);
      assert.strictEqual(rows.length, 1);
      const found = rows[0];
      assert.strictEqual(found.vc, row[1]);
      assert.deepStrictEqual(found.vb, row[2]);
      assert.strictEqual(found.de === null ? null : Number(found.de), row[3] === null ? null : Number(row[3]));
      assert.strictEqual(found.dt && found.dt.getTime(), row[4] && row[4].getTime());
      assert.strictEqual(found.bi === null ? null : String(found.bi), row[5]);
    }
    const [rows] = await cnx[way]("SELECT id FROM everything ORDER BY id DESC");
    assert.deepStrictEqual(rows.map((row) => row.id), [3, 2, 1]);
  }
});

check("insert ids and affected rows", async (cnx) => {
  const [one] = await cnx.query("INSERT INTO customer (name, country) VALUES ('a', 'DE')");
  assert.ok(one.insertId >= 1000000);
  const [two] = await cnx.execute("INSERT INTO customer (name, country) VALUES (?, ?), (?, ?)", ["b", "DE", "c", "DE"]);
  assert.strictEqual(two.affectedRows, 2);
  const [gone] = await cnx.execute("DELETE FROM customer WHERE customer_id IN (?, ?, ?)", [one.insertId, two.insertId, two.insertId + 1]);
  assert.strictEqual(gone.affectedRows, 3);
});

check("transactions", async (cnx) => {
  await cnx.beginTransaction();
  for (let id = 1; id <= 10; id++) await cnx.execute("INSERT INTO counter (id, owner) VALUES (?, ?)", [id, id]);
  await cnx.rollback();
  const [[none]] = await cnx.query("SELECT COUNT(*) AS n FROM counter");
  assert.strictEqual(Number(none.n), 0);
  await cnx.beginTransaction();
  for (let id = 1; id <= 10; id++) await cnx.execute("INSERT INTO counter (id, owner) VALUES (?, ?)", [id, id]);
  await cnx.commit();
  const [[all]] = await cnx.query("SELECT COUNT(*) AS n FROM counter");
  assert.strictEqual(Number(all.n), 10);
  await cnx.query("DELETE FROM counter");
});

check("errors", async (cnx) => {
  await assert.rejects(cnx.query("SELECT nosuch FROM product"), { errno: 1054, sqlState: "42S22" });
  await assert.rejects(cnx.execute("SELECT nosuch FROM product"), { errno: 1054, sqlState: "42S22" });
  await assert.rejects(cnx.query("SELEC 1"), { errno: 1064, sqlState: "42000" });
  await cnx.ping();
});

check("a large value", async (cnx) => {
  await cnx.query("USE main");
  const body = Buffer.alloc(17 * 1024 * 1024, "sluice");
  await cnx.query("DELETE FROM big");
  await cnx.execute("INSERT INTO big VALUES (?, ?)", [1, body]);
  const [[row]] = await cnx.query("SELECT body FROM big WHERE id = 1");
  assert.ok(body.equals(row.body));
  await cnx.query("DELETE FROM big");
  await cnx.query("USE commerce");
});

check("change user", async (cnx) => {
  await cnx.changeUser({ user: "hashed", password: "hashed", database: "main" });
  const [[row]] = await cnx.query("SELECT DATABASE() AS d");
  assert.strictEqual(row.d, "main");
});

(async () => {
  const cnx = await mysql.createConnection({ ...options, timezone: "Z", supportBigNumbers: true });
  for (const [name, run] of checks) {
    try {
      await run(cnx);
    } catch (error) {
      console.error(`${name}: ${error.stack}`);
      process.exit(1);
    }
    console.log(name);
  }
  await cnx.end();

  const pool = mysql.createPool({ ...options, connectionLimit: 20 });
  const found = await Promise.all(
    Array.from({ length: 200 }, (_, i) => pool.execute("SELECT ? + 0 AS mine, sku FROM product WHERE sku = 'PEN'", [i]))
  );
  found.forEach(([rows], i) => assert.strictEqual(Number(rows[0].mine), i));
  await pool.end();

  await assert.rejects(mysql.createConnection({ ...options, password: "wrong" }), { errno: 1045 });
  await assert.rejects(mysql.createConnection({ ...options, database: "nosuch" }), { errno: 1049 });
  console.log("done");
})().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
