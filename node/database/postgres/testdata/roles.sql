-- Roles, rights and row policies. "as ROLE CALLER" says in which role what follows runs, and for whom; "as owner" goes back.
CREATE TABLE t(id int PRIMARY KEY, owner text, v int DEFAULT 1);
CREATE TABLE plain(a int, b text);
CREATE TABLE ser(id serial PRIMARY KEY, v int);
CREATE TABLE ident(id int GENERATED ALWAYS AS IDENTITY, v int);
CREATE VIEW vt AS SELECT id, v FROM t;
CREATE VIEW who AS SELECT current_user AS u;
CREATE SEQUENCE sq;
CREATE SCHEMA side;
CREATE TABLE side.x(a int);
INSERT INTO t VALUES (1,'alice',10),(2,'bob',20),(3,'alice',0),(4,NULL,40);
INSERT INTO plain VALUES (1,'one'),(2,'two');
CREATE ROLE reader;
CREATE ROLE writer LOGIN;
CREATE USER app;
CREATE ROLE reader;
CREATE ROLE pg_no;
CREATE ROLE grp ROLE writer;
GRANT grp TO app;
GRANT app TO grp;
GRANT nobody TO app;
DROP ROLE nobody;
DROP ROLE IF EXISTS nobody;
GRANT SELECT ON t TO reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON plain TO writer;
GRANT SELECT ON missing TO reader;
GRANT SELECT ON t TO missing;
GRANT USAGE ON t TO reader;
GRANT EXECUTE ON t TO reader;
GRANT ALL ON SEQUENCE t TO reader;
SELECT current_user, session_user, current_role, user;
as reader alice
SELECT current_user, current_role, user;
SELECT current_setting('stratos.caller'), current_setting('stratos.none', true);
SELECT current_setting('stratos.none');
SELECT u FROM who;
SELECT * FROM t ORDER BY id;
SELECT count(*) FROM plain;
SELECT * FROM vt;
SELECT 1 FROM t, plain;
SELECT (SELECT max(a) FROM plain);
SELECT 1 WHERE EXISTS (SELECT FROM plain);
WITH w AS (SELECT a FROM plain) SELECT 1 FROM t, w;
INSERT INTO t VALUES (9,'x',1);
UPDATE t SET v = 2;
DELETE FROM t;
TRUNCATE t;
SELECT * FROM side.x;
SELECT * FROM side.missing;
SELECT nextval('sq');
SELECT currval('sq');
SELECT setval('sq', 3);
SELECT missing FROM plain;
SELECT * FROM missing;
SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1;
SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1;
SELECT relname FROM pg_class WHERE relname IN ('t','plain') ORDER BY 1;
as writer bob
SELECT * FROM plain ORDER BY a;
INSERT INTO plain VALUES (3,'three') RETURNING a;
UPDATE plain SET b = b || '!' WHERE a = 3 RETURNING *;
DELETE FROM plain WHERE a = 3;
TRUNCATE plain;
SELECT * FROM t;
INSERT INTO ser(v) VALUES (1);
INSERT INTO plain SELECT id, owner FROM t;
UPDATE plain SET a = t.v FROM t WHERE t.id = plain.a;
as owner
REVOKE SELECT ON plain FROM writer;
as writer bob
UPDATE plain SET b = 'x';
UPDATE plain SET b = b;
UPDATE plain SET b = 'x' WHERE a = 1;
DELETE FROM plain WHERE a = 9;
INSERT INTO plain VALUES (5,'five');
INSERT INTO plain VALUES (6,'six') RETURNING a;
INSERT INTO plain VALUES (6,'six') RETURNING 1;
UPDATE plain SET b = 'y' RETURNING 2;
DELETE FROM plain;
SELECT 1 FROM plain;
as owner
GRANT INSERT, SELECT ON ser, ident TO PUBLIC;
as writer bob
INSERT INTO ident(v) VALUES (7) RETURNING id;
INSERT INTO ser(v) VALUES (7) RETURNING id;
INSERT INTO ser(id, v) VALUES (100, 7) RETURNING id;
as owner
GRANT USAGE ON SEQUENCE ser_id_seq TO writer;
GRANT USAGE ON SCHEMA side TO writer;
GRANT ALL ON ALL TABLES IN SCHEMA side TO writer;
GRANT SELECT, UPDATE ON sq TO grp;
GRANT TRUNCATE ON plain TO grp;
as writer bob
INSERT INTO ser(v) VALUES (8) RETURNING id;
SELECT * FROM side.x;
INSERT INTO side.x VALUES (1);
SELECT nextval('sq');
SELECT setval('sq', 10);
TRUNCATE plain;
TRUNCATE ser RESTART IDENTITY;
as app carol
SELECT nextval('sq');
SELECT * FROM side.x;
as owner
REVOKE grp FROM app;
REVOKE ALL ON ALL TABLES IN SCHEMA side FROM writer;
as app carol
SELECT nextval('sq');
as writer bob
SELECT * FROM side.x;
as owner
-- Rows.
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
GRANT INSERT, UPDATE, DELETE ON t TO reader;
GRANT SELECT ON vt TO reader;
INSERT INTO plain VALUES (1,'one'),(2,'two');
as reader alice
SELECT * FROM t;
INSERT INTO t VALUES (10,'alice',1);
UPDATE t SET v = 1;
DELETE FROM t;
SELECT * FROM vt ORDER BY id;
as owner
SELECT count(*) FROM t;
CREATE POLICY own ON t USING (owner = current_setting('stratos.caller'));
CREATE POLICY own ON t USING (true);
CREATE POLICY bad ON t FOR SELECT USING (true) WITH CHECK (true);
CREATE POLICY bad ON t FOR INSERT USING (true);
CREATE POLICY bad ON t USING (v);
CREATE POLICY bad ON t USING (count(*) > 1);
CREATE POLICY bad ON t TO missing USING (true);
CREATE POLICY bad ON missing USING (true);
CREATE POLICY bad ON vt USING (true);
as reader alice
SELECT * FROM t ORDER BY id;
SELECT count(*) FROM t WHERE 10 / (v - 20) < 100;
SELECT 10 / v FROM t WHERE id = 1;
SELECT a.id, b.id FROM t a JOIN t b ON a.id < b.id ORDER BY 1, 2;
SELECT id FROM t WHERE id IN (SELECT id FROM t WHERE v = 20);
INSERT INTO t VALUES (10,'alice',1) RETURNING *;
INSERT INTO t VALUES (11,'bob',1);
INSERT INTO t(id) VALUES (11);
INSERT INTO t SELECT id + 100, owner, v FROM t;
INSERT INTO t SELECT id + 200, 'bob', v FROM t;
INSERT INTO t VALUES (1,'alice',1);
INSERT INTO t VALUES (2,'alice',1);
UPDATE t SET v = v + 1 WHERE id IN (1, 2) RETURNING id, v;
UPDATE t SET owner = 'bob' WHERE id = 1;
UPDATE t SET owner = 'alice';
UPDATE t SET v = plain.a FROM plain WHERE plain.a = t.id;
DELETE FROM t WHERE id > 100;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (1,'alice',7) ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING *;
INSERT INTO t VALUES (2,'alice',7) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO t VALUES (1,'alice',7) ON CONFLICT (id) DO UPDATE SET owner = 'bob';
INSERT INTO t VALUES (1,'alice',7) ON CONFLICT (id) DO UPDATE SET owner = 'bob' WHERE t.v = 1000;
INSERT INTO t VALUES (1,'alice',7) ON CONFLICT DO NOTHING;
INSERT INTO t VALUES (1,'bob',7) ON CONFLICT DO NOTHING;
INSERT INTO t VALUES (20,'alice',7), (1,'alice',70) ON CONFLICT (id) DO UPDATE SET v = t.v + excluded.v;
SELECT * FROM t ORDER BY id;
SELECT * FROM vt ORDER BY id;
as reader bob
SELECT * FROM t ORDER BY id;
as owner
SELECT * FROM t ORDER BY id;
CREATE POLICY low ON t AS RESTRICTIVE FOR UPDATE TO reader USING (v < 50) WITH CHECK (v < 60);
CREATE POLICY all_read ON t FOR SELECT TO grp USING (id < 3);
GRANT SELECT, INSERT, UPDATE, DELETE ON t TO writer;
as reader alice
UPDATE t SET v = 55 WHERE id = 1;
UPDATE t SET v = 65 WHERE id = 3;
UPDATE t SET v = 1 WHERE id = 1;
INSERT INTO t VALUES (30,'alice',70);
as writer bob
SELECT * FROM t ORDER BY id;
UPDATE t SET v = 33 RETURNING id;
UPDATE t SET v = 34;
DELETE FROM t WHERE id = 1;
INSERT INTO t VALUES (31,'bob',1);
INSERT INTO t VALUES (32,'bob',1) RETURNING id;
as owner
ALTER POLICY own ON t USING (owner = current_setting('stratos.caller') AND v > 0);
ALTER POLICY own ON t RENAME TO mine;
ALTER POLICY own ON t RENAME TO mine;
as reader alice
SELECT id FROM t ORDER BY id;
as owner
CREATE TABLE friends(a text, b text);
INSERT INTO friends VALUES ('alice','bob');
DROP POLICY mine ON t;
DROP POLICY mine ON t;
DROP POLICY IF EXISTS mine ON t;
CREATE POLICY friends ON t TO reader USING (owner IN (SELECT b FROM friends WHERE a = current_setting('stratos.caller')));
as reader alice
SELECT id FROM t ORDER BY id;
as owner
GRANT SELECT ON friends TO reader;
as reader alice
SELECT id FROM t ORDER BY id;
UPDATE t SET v = 3 WHERE id = 2;
INSERT INTO t VALUES (40,'bob',1);
INSERT INTO t VALUES (41,'alice',1);
as owner
ALTER TABLE friends ENABLE ROW LEVEL SECURITY;
as reader alice
SELECT id FROM t ORDER BY id;
as owner
CREATE POLICY loop ON friends USING (EXISTS (SELECT FROM t));
as reader alice
SELECT id FROM t ORDER BY id;
as owner
DROP TABLE friends;
DROP TABLE friends CASCADE;
SELECT schemaname, tablename, policyname, permissive, roles, cmd FROM pg_policies ORDER BY 3;
SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class WHERE relname IN ('t','plain','sq','vt') ORDER BY 1;
SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname IN ('reader','writer','app','grp') ORDER BY 1;
SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname = 'grp';
CREATE POLICY cols ON t FOR DELETE USING (v > 0);
ALTER TABLE t DROP COLUMN v;
ALTER TABLE t ALTER COLUMN v TYPE bigint;
DROP VIEW vt;
ALTER TABLE t RENAME COLUMN owner TO holder;
ALTER TABLE t FORCE ROW LEVEL SECURITY;
SELECT count(*) > 0 FROM t;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
as reader alice
SELECT count(*) FROM t;
as owner
DROP ROLE reader;
REVOKE ALL ON t FROM reader;
DROP POLICY low ON t;
DROP POLICY friends ON t;
DROP ROLE reader;
ALTER ROLE app RENAME TO application;
ALTER ROLE missing RENAME TO application;
DROP ROLE application;
