"""What survives a swap, and what readers see of it."""

import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pyarrow as pa
import pytest
from phlo.config import reset_settings
from phlo.errors import ConfigurationError, DataQualityError, ServiceError

pytestmark = pytest.mark.integration


def people(*names, version=1):
    return pa.table(
        {
            "id": pa.array(range(len(names)), pa.int64()),
            "name": list(names),
            "version": pa.array([version] * len(names), pa.int64()),
        }
    )


@pytest.fixture
def role(postgres_server):
    """A reader's role; dropped with all its rights."""
    name = f"reader_{os.urandom(4).hex()}"
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'reader'")
    return name


def published(publish, write_mart, database):
    write_mart("marts.people", people("Ann", "Bob"))
    publish({"people": "marts.people"})


def published_again(publish, write_mart):
    write_mart("marts.people", people("Ann", "Bob", "Cid", version=2))
    publish({"people": "marts.people"})


def test_indexes_and_constraints_survive(publish, write_mart, database):
    published(publish, write_mart, database)
    database.execute(
        """
        ALTER TABLE marts.people ADD CONSTRAINT "the key" PRIMARY KEY (id);
        ALTER TABLE marts.people ADD UNIQUE (name) INCLUDE (version);
        ALTER TABLE marts.people ADD CONSTRAINT positive CHECK (version > 0);
        ALTER TABLE marts.people ALTER COLUMN version SET NOT NULL;
        CREATE INDEX "odd ""index" ON marts.people USING btree (lower(name) DESC) WHERE id > 0;
        CREATE UNIQUE INDEX by_both ON marts.people (id, name);
        COMMENT ON INDEX marts.by_both IS 'both';
        COMMENT ON CONSTRAINT positive ON marts.people IS 'no zero';
        COMMENT ON CONSTRAINT "the key" ON marts.people IS 'one each';
        """
    )
    query = """
        SELECT conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
        FROM pg_constraint WHERE conrelid = 'marts.people'::regclass
        UNION ALL
        SELECT c.relname, pg_get_indexdef(c.oid), obj_description(c.oid, 'pg_class')
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = 'marts.people'::regclass
        UNION ALL
        SELECT attname, 'not null', null FROM pg_attribute
        WHERE attrelid = 'marts.people'::regclass AND attnotnull AND attnum > 0
        ORDER BY 1, 2
    """
    before = database.execute(query).fetchall()
    assert len(before) == 11
    published_again(publish, write_mart)
    assert database.execute(query).fetchall() == before
    assert database.execute("SELECT count(*) FROM marts.people").fetchone() == (3,)
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.execute("INSERT INTO marts.people VALUES (0, 'Zoe', 1)")


def test_grants_comments_owner_and_policies_survive(publish, write_mart, database, role):
    published(publish, write_mart, database)
    database.execute(
        f"""
        CREATE ROLE {role}_owner;
        GRANT USAGE, CREATE ON SCHEMA marts TO {role}_owner;
        ALTER TABLE marts.people OWNER TO {role}_owner;
        GRANT SELECT (id, name) ON marts.people TO {role};
        GRANT INSERT ON marts.people TO {role} WITH GRANT OPTION;
        GRANT SELECT ON marts.people TO PUBLIC;
        COMMENT ON TABLE marts.people IS 'it''s all of them';
        COMMENT ON COLUMN marts.people.name IS 'first name';
        ALTER TABLE marts.people ENABLE ROW LEVEL SECURITY;
        ALTER TABLE marts.people FORCE ROW LEVEL SECURITY;
        CREATE POLICY only_ann ON marts.people FOR SELECT TO {role} USING (name = 'Ann');
        ALTER DEFAULT PRIVILEGES IN SCHEMA marts GRANT DELETE ON TABLES TO {role};
        """
    )
    query = """
        SELECT relacl::text, pg_get_userbyid(relowner), relrowsecurity, relforcerowsecurity,
            obj_description(oid, 'pg_class'),
            ARRAY(SELECT (attname, attacl, col_description(attrelid, attnum))::text
                FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum),
            ARRAY(SELECT (polname, polcmd, polroles, pg_get_expr(polqual, polrelid))::text
                FROM pg_policy WHERE polrelid = c.oid)
        FROM pg_class c WHERE oid = 'marts.people'::regclass
    """
    before = database.execute(query).fetchone()
    published_again(publish, write_mart)
    after = database.execute(query).fetchone()
    assert sorted(after[0].strip("{}").split(",")) == sorted(before[0].strip("{}").split(","))
    assert after[1:] == before[1:]
    assert after[1] == f"{role}_owner"
    database.execute(f"GRANT USAGE ON SCHEMA marts TO {role}; SET ROLE {role}")
    assert database.execute("SELECT name, version FROM marts.people").fetchall() == [("Ann", 2)]
    database.execute("RESET ROLE")


def test_views_keep_their_rows_grants_comments_and_dependants(publish, write_mart, database, role):
    published(publish, write_mart, database)
    write_mart("marts.cities", pa.table({"city": ["Rome"]}))
    publish({"cities": "marts.cities"})
    database.execute(
        f"""
        CREATE SCHEMA bi;
        CREATE VIEW bi."by name" WITH (security_barrier = true) AS
            SELECT p.name AS "the name", city FROM marts.people p, marts.cities WHERE p.id > 0;
        COMMENT ON VIEW bi."by name" IS 'for reports';
        GRANT SELECT ON bi."by name" TO {role};
        CREATE VIEW bi.counted AS SELECT count(*) AS n FROM bi."by name";
        """
    )
    query = """
        SELECT oid, relacl::text, reloptions, obj_description(oid, 'pg_class'),
            pg_get_viewdef(oid) FROM pg_class WHERE oid = 'bi."by name"'::regclass
    """
    before = database.execute(query).fetchone()
    write_mart("marts.cities", pa.table({"city": ["Oslo"]}))
    write_mart("marts.people", people("Ann", "Bob", "Cid", version=2))
    publish({"people": "marts.people", "cities": "marts.cities"})
    assert database.execute(query).fetchone() == before
    assert database.execute('SELECT * FROM bi."by name" ORDER BY 1').fetchall() == [
        ("Bob", "Oslo"),
        ("Cid", "Oslo"),
    ]
    assert database.execute("SELECT n FROM bi.counted").fetchall() == [(2,)]


def test_a_role_with_no_more_rights_than_it_needs_publishes_again_and_again(
    publish, write_mart, database, postgres_database, role, monkeypatch
):
    database.execute(f"GRANT CREATE ON DATABASE {postgres_database.database} TO {role}")
    monkeypatch.setenv("PHLO_POSTGRES_USER", role)
    monkeypatch.setenv("PHLO_POSTGRES_PASSWORD", "reader")
    reset_settings()
    published(publish, write_mart, database)
    database.execute(f"SET ROLE {role}")
    database.execute("ALTER TABLE marts.people ADD PRIMARY KEY (id)")
    database.execute("CREATE VIEW marts.named AS SELECT name FROM marts.people")
    published_again(publish, write_mart)
    assert database.execute("SELECT count(*) FROM marts.named").fetchone() == (3,)
    database.execute("RESET ROLE")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE TABLE marts.heir () INHERITS (marts.people)", "table marts.heir"),
        (
            "CREATE PUBLICATION pub FOR TABLE marts.people",
            "publication of table marts.people in publication pub",
        ),
        (
            "CREATE FUNCTION marts.f() RETURNS bigint LANGUAGE sql "
            "BEGIN ATOMIC SELECT count(*) FROM marts.people; END",
            "function marts.f()",
        ),
        (
            "CREATE FUNCTION marts.g(marts.people) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function marts.g(marts.people)",
        ),
        (
            "CREATE TABLE marts.holder (p marts.people, many marts.people[])",
            "column many of table marts.holder, column p of table marts.holder",
        ),
        (
            "CREATE VIEW marts.whole AS SELECT p FROM marts.people p",
            "column p of view marts.whole",
        ),
        (
            "CREATE TABLE marts.other (id int); CREATE POLICY pol ON marts.other USING "
            "(id IN (SELECT id FROM marts.people))",
            "policy pol on table marts.other",
        ),
        ("ALTER TABLE marts.people ADD COLUMN note text", "column note"),
        (
            "ALTER TABLE marts.people ADD COLUMN nr int GENERATED ALWAYS AS IDENTITY",
            "identity column nr",
        ),
        (
            "CREATE INDEX ix ON marts.people (id); "
            "ALTER INDEX marts.ix DEPENDS ON EXTENSION plpgsql; "
            "CREATE TRIGGER t BEFORE UPDATE ON marts.people FOR EACH ROW "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger(); "
            "ALTER TRIGGER t ON marts.people DEPENDS ON EXTENSION plpgsql; "
            "CREATE MATERIALIZED VIEW marts.mv AS SELECT id FROM marts.people; "
            "ALTER MATERIALIZED VIEW marts.mv DEPENDS ON EXTENSION plpgsql",
            "dependence of index marts.ix on extension plpgsql, "
            "dependence of materialized view marts.mv on extension plpgsql, "
            "dependence of trigger t on table marts.people on extension plpgsql",
        ),
        (
            "CREATE TABLE marts.parts (LIKE marts.people INCLUDING ALL) PARTITION BY RANGE (id); "
            "ALTER TABLE marts.parts ATTACH PARTITION marts.people DEFAULT",
            "inheritance from marts.parts",
        ),
        (
            "CREATE TYPE marts.person AS (id bigint, name text, version bigint); "
            "ALTER TABLE marts.people OF marts.person",
            "type marts.person",
        ),
        (
            "CREATE TABLE marts.o (id bigint CONSTRAINT f REFERENCES marts.people) "
            "PARTITION BY RANGE (id)",
            "constraint f on table marts.o",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:wal_level")
def test_what_a_publish_would_lose_is_an_error_that_names_it(
    publish, write_mart, database, statement, what
):
    published(publish, write_mart, database)
    database.execute("ALTER TABLE marts.people ADD PRIMARY KEY (id)")
    database.execute(statement)
    with pytest.raises(ConfigurationError) as caught:
        published_again(publish, write_mart)
    assert ", ".join(caught.value.losses) == what
    assert "a view over the table" in str(caught.value)
    assert database.execute("SELECT max(version) FROM marts.people").fetchone() == (1,)


def test_a_column_that_a_view_needs_cannot_vanish_unnoticed(publish, write_mart, database):
    published(publish, write_mart, database)
    database.execute("CREATE VIEW marts.names AS SELECT name FROM marts.people")
    write_mart("gold.people", pa.table({"id": [1, 2]}))
    with pytest.raises(ConfigurationError, match="name") as caught:
        publish({"people": "gold.people"})
    assert "drop that, publish, and create it anew" in str(caught.value)
    assert database.execute("SELECT * FROM marts.names ORDER BY 1").fetchall() == [
        ("Ann",),
        ("Bob",),
    ]


def test_rows_that_break_a_kept_key_leave_the_old_table(publish, write_mart, database):
    published(publish, write_mart, database)
    database.execute("ALTER TABLE marts.people ADD PRIMARY KEY (name)")
    write_mart("marts.people", people("Ann", "Ann"))
    with pytest.raises(DataQualityError, match=r"\(Ann\)"):
        publish({"people": "marts.people"})
    assert database.execute("SELECT name FROM marts.people ORDER BY 1").fetchall() == [
        ("Ann",),
        ("Bob",),
    ]


def test_readers_see_whole_old_or_whole_new_sets(publish, write_mart, database, postgres_database):
    """One table has n rows of version v in each publish, the other says n and v."""

    def write(version):
        write_mart("marts.people", people(*["x"] * (version * 100), version=version))
        write_mart("marts.said", pa.table({"rows": [version * 100], "version": [version]}))
        publish({"people": "marts.people", "said": "marts.said"}, max_shrink=1)

    write(1)
    database.execute("CREATE VIEW marts.v AS SELECT * FROM marts.people")
    seen, done, failures = set(), threading.Event(), []
    queries = (
        """SELECT (SELECT count(*) FROM marts.people), (SELECT min(version) FROM marts.people),
        (SELECT max(version) FROM marts.people), (SELECT rows FROM marts.said)""",
        """SELECT (SELECT rows FROM marts.said), (SELECT version FROM marts.said),
        (SELECT max(version) FROM marts.v), (SELECT count(*) FROM marts.v)""",
    )

    def read(query, isolation):
        try:
            with postgres_database.connect() as connection:
                connection.isolation_level = isolation
                while not done.is_set():
                    seen.add(connection.execute(query).fetchone())
                    connection.execute("SELECT count(*) FROM marts.people")
                    connection.commit()
                    time.sleep(0.005)
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            failures.append(exc)

    levels = (None, psycopg.IsolationLevel.REPEATABLE_READ)
    threads = [threading.Thread(target=read, args=(q, i)) for q in queries for i in levels]
    for thread in threads:
        thread.start()
    for version in range(2, 9):
        write(version)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert seen <= {(v * 100, v, v, v * 100) for v in range(1, 9)}
    assert len(seen) >= 3


def test_a_transaction_older_than_the_publish_sees_whole_tables(
    publish, write_mart, database, postgres_database
):
    published(publish, write_mart, database)
    with postgres_database.connect() as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert old.execute("SELECT 1").fetchone() == (1,)  # its snapshot is taken here
        published_again(publish, write_mart)
        assert old.execute("SELECT count(*) FROM marts.people").fetchone() == (3,)


def test_a_reader_who_holds_a_table_delays_the_swap_and_is_named(
    publish, write_mart, database, postgres_database, monkeypatch
):
    published(publish, write_mart, database)
    monkeypatch.setenv("PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS", "1")
    reset_settings()
    with postgres_database.connect(application_name="dashboard") as reader:
        reader.execute("SELECT * FROM marts.people")
        with pytest.raises(ServiceError, match="dashboard"):
            published_again(publish, write_mart)
        assert database.execute("SELECT max(version) FROM marts.people").fetchone() == (1,)
    publish({"people": "marts.people"})
    assert database.execute("SELECT max(version) FROM marts.people").fetchone() == (2,)


_KILLED = """
import os, signal, sys
import pyarrow as pa
from dagster import asset, build_asset_context
from phlo.lake import open_lake
from phlo.publishing import PostgresResource, publish_marts_to_postgres

class DyingEngine:
    "The real engine; the process ends when it has read so many batches of a table."
    dialect = "duckdb"
    def query(self, sql, **options):
        reader = open_lake().engine.query(sql, **options)
        batches = [b.slice(i, 1) for b in reader for i in range(b.num_rows)]
        def dying():
            for number, batch in enumerate(batches):
                if "said" in sql and number == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield batch
        return pa.RecordBatchReader.from_batches(reader.schema, dying())

@asset
def published(context):
    tables = {"people": "marts.people", "said": "marts.said"}
    publish_marts_to_postgres(context, DyingEngine(), PostgresResource(), tables, "tests")

published(build_asset_context())
"""


def test_a_killed_publish_leaves_the_old_tables_and_the_next_one_works(
    publish, write_mart, database
):
    tables = {"people": "marts.people", "said": "marts.said"}
    write_mart("marts.people", people("Ann", "Bob"))
    write_mart("marts.said", pa.table({"rows": [2, 2]}))
    publish(tables)
    write_mart("marts.people", people("Ann", "Bob", "Cid", version=2))
    write_mart("marts.said", pa.table({"rows": [3, 3]}))
    done = subprocess.run([sys.executable, "-c", _KILLED], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert database.execute("SELECT name FROM marts.people ORDER BY 1").fetchall() == [
        ("Ann",),
        ("Bob",),
    ]
    assert database.execute("SELECT rows FROM marts.said").fetchall() == [(2,), (2,)]
    publish(tables)
    assert database.execute("SELECT count(*) FROM marts.people").fetchone() == (3,)
    assert database.execute("SELECT rows FROM marts.said").fetchall() == [(3,), (3,)]
    left = database.execute("SELECT relname FROM pg_class WHERE relname LIKE '_phlo_new%'")
    assert left.fetchall() == []


_PUBLISHED = """
from dagster import asset, build_asset_context
from phlo.lake import open_lake
from phlo.publishing import PostgresResource, publish_marts_to_postgres

@asset
def published(context):
    tables = {"people": "marts.people", "other": "marts.people"}
    engine = open_lake().engine
    publish_marts_to_postgres(context, engine, PostgresResource(), tables, "tests", force=True)

for _ in range(3):
    published(build_asset_context())
"""


def test_processes_that_publish_one_table_at_once_all_land(publish, write_mart, database):
    published(publish, write_mart, database)
    command = [sys.executable, "-c", _PUBLISHED]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in running:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    assert database.execute("SELECT count(*) FROM marts.people").fetchone() == (2,)
    assert database.execute("SELECT count(*) FROM marts.other").fetchone() == (2,)
