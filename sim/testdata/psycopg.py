# psycopg2's everyday work: types, prepared text, transactions with retries, many rows, cursors of the server.
import datetime, decimal, os, select, threading
import psycopg2, psycopg2.errors, psycopg2.extras

url = os.environ["DATABASE_URL"]
c = psycopg2.connect(url)
k = c.cursor()
k.execute("CREATE TABLE kinds (i int, n numeric(12,3), f float8, t text, b bytea, y bool, d date, ts timestamp, tz timestamptz, iv interval, j jsonb, a int[])")
row = (7, decimal.Decimal("12.500"), 0.1, "Zeile\n☃ '\\", b"\x00\xff", True, datetime.date(2026, 2, 3), datetime.datetime(2026, 2, 3, 4, 5, 6, 789),
       datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc), datetime.timedelta(days=2, seconds=3), {"k": [1, None]}, [1, 2, None])
k.execute("INSERT INTO kinds VALUES (" + ",".join(["%s"] * 12) + ")", row[:10] + (psycopg2.extras.Json(row[10]), row[11]))
c.commit()
k.execute("SELECT * FROM kinds")
got = k.fetchone()
assert tuple(bytes(v) if isinstance(v, memoryview) else v for v in got) == row, got
c.rollback()

try:
    k.execute("INSERT INTO kinds (i) VALUES ('x')")
    assert False
except psycopg2.errors.InvalidTextRepresentation:
    c.rollback()

k.execute("CREATE TABLE counter (n int)")
k.execute("INSERT INTO counter VALUES (0)")
c.commit()
retries = []

def count():
    own = psycopg2.connect(url)
    for _ in range(5):
        while True:
            try:
                with own, own.cursor() as k:
                    k.execute("SELECT n FROM counter")
                    n = k.fetchone()[0]
                    k.execute("UPDATE counter SET n = %s", (n + 1,))
                break
            except psycopg2.errors.SerializationFailure:
                retries.append(1)
    own.close()

both = [threading.Thread(target=count) for _ in range(2)]
[t.start() for t in both]
[t.join() for t in both]
k.execute("SELECT n FROM counter")
assert k.fetchone() == (10,)

k.execute("CREATE TABLE many (id int PRIMARY KEY, t text)")
psycopg2.extras.execute_values(k, "INSERT INTO many VALUES %s", [(i, "row %d" % i) for i in range(1000)])
with open("many.txt", "w") as f:
    f.writelines("%d\tcopied\n" % i for i in range(1000, 1500))
with open("many.txt") as f:
    k.copy_from(f, "many")
c.commit()
named = c.cursor("named")
named.itersize = 100
named.execute("SELECT id FROM many ORDER BY id")
assert [r[0] for r in named] == list(range(1500))
c.commit()
k.execute("SELECT count(*), min(t), max(t) FROM many WHERE id = ANY(%s)", ([1, 1001],))
assert k.fetchone() == (2, "copied", "row 1")

# LISTEN: what another connection says when its transaction is committed.
listener = psycopg2.connect(url)
listener.autocommit = True
l = listener.cursor()
l.execute("LISTEN jobs")
for payload in ["undone", "one", "two"]:
    k.execute("SELECT pg_notify('jobs', %s)", (payload,))
    k.execute("NOTIFY other")
    if payload == "undone":
        c.rollback()
    else:
        c.commit()
while len(listener.notifies) < 2:
    assert select.select([listener], [], [], 30)[0], "nothing comes"
    listener.poll()
assert [(n.channel, n.payload) for n in listener.notifies] == [("jobs", "one"), ("jobs", "two")]
listener.close()
c.close()
print("retried", len(retries))
