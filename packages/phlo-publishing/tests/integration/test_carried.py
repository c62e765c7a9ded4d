"""Everything that PostgreSQL keeps about a table is as it was after the next publish."""

import os
import subprocess

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo.errors import DataQualityError
from phlo_publishing.server import program

pytestmark = pytest.mark.integration

FEATURES = """
    CREATE SCHEMA bi;
    CREATE ROLE {role}; GRANT USAGE, CREATE ON SCHEMA marts TO {role};
    ALTER TABLE marts.people ALTER id SET NOT NULL,
        ADD CONSTRAINT people_key PRIMARY KEY (id) WITH (fillfactor = 71),
        ADD CONSTRAINT people_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED,
        ADD CONSTRAINT boss FOREIGN KEY (boss) REFERENCES marts.people (id) ON DELETE SET NULL,
        ADD CONSTRAINT unchecked CHECK (id > 100) NOT VALID;
    COMMENT ON CONSTRAINT boss ON marts.people IS 'who leads';
    COMMENT ON CONSTRAINT people_key ON marts.people IS 'the key';
    ALTER TABLE marts.people SET (fillfactor = 70, autovacuum_enabled = off,
        toast.autovacuum_vacuum_threshold = 7);
    ALTER TABLE marts.people ALTER name SET STATISTICS 321, ALTER name SET STORAGE EXTERNAL,
        ALTER name SET COMPRESSION pglz, ALTER boss SET (n_distinct = 5),
        ALTER name SET DEFAULT 'nobody', ALTER name TYPE text COLLATE "C";
    ALTER TABLE marts.people ADD COLUMN twice bigint GENERATED ALWAYS AS (id * 2) STORED,
        ADD COLUMN thrice bigint GENERATED ALWAYS AS (id * 3) VIRTUAL;
    CREATE INDEX by_boss ON marts.people (boss, (lower(name))) WITH (fillfactor = 60);
    ALTER INDEX marts.by_boss ALTER COLUMN 2 SET STATISTICS 99;
    COMMENT ON INDEX marts.by_boss IS 'index';
    CREATE INDEX by_twice ON marts.people (twice);
    ALTER TABLE marts.people CLUSTER ON by_boss;
    CREATE UNIQUE INDEX identity ON marts.people (id) INCLUDE (name);
    ALTER TABLE marts.people REPLICA IDENTITY USING INDEX identity;
    CREATE STATISTICS bi.both (ndistinct, mcv) ON name, boss FROM marts.people;
    ALTER STATISTICS bi.both SET STATISTICS 55;
    COMMENT ON STATISTICS bi.both IS 'stats';
    CREATE STATISTICS marts.lower ON (lower(name)) FROM marts.people;
    CREATE SEQUENCE marts.numbers OWNED BY marts.people.boss;
    ALTER TABLE marts.people ALTER boss SET DEFAULT nextval('marts.numbers');
    ALTER TABLE marts.people ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON marts.people TO {role} USING
        (id IN (SELECT p.id FROM marts.people p WHERE p.boss IS NULL));
    COMMENT ON POLICY mine ON marts.people IS 'policy';
    CREATE TRIGGER same BEFORE UPDATE ON marts.people FOR EACH ROW
        WHEN (old.id = new.id) EXECUTE FUNCTION suppress_redundant_updates_trigger();
    ALTER TABLE marts.people DISABLE TRIGGER same;
    COMMENT ON TRIGGER same ON marts.people IS 'trigger';
    CREATE RULE quiet AS ON DELETE TO marts.people WHERE old.id = 1 DO INSTEAD NOTHING;
    COMMENT ON RULE quiet ON marts.people IS 'rule';
    CREATE VIEW bi.names AS SELECT id, name FROM marts.people;
    CREATE RULE written AS ON INSERT TO bi.names DO INSTEAD
        INSERT INTO marts.people (id, name) VALUES (new.id, new.name);
    CREATE TABLE bi.orders (id int, person bigint CONSTRAINT buyer REFERENCES marts.people (id)
        ON UPDATE CASCADE DEFERRABLE);
    INSERT INTO bi.orders VALUES (1, 1);
    COMMENT ON CONSTRAINT buyer ON bi.orders IS 'who buys';
    ALTER TABLE bi.orders ADD CONSTRAINT later FOREIGN KEY (person)
        REFERENCES marts.people (id) NOT VALID;
    CREATE MATERIALIZED VIEW marts.leaders WITH (fillfactor = 80) AS
        SELECT id, name FROM marts.people WHERE boss IS NULL;
    CREATE UNIQUE INDEX leaders_key ON marts.leaders (id);
    ALTER MATERIALIZED VIEW marts.leaders ALTER name SET STATISTICS 12;
    COMMENT ON MATERIALIZED VIEW marts.leaders IS 'on top';
    GRANT SELECT ON marts.leaders TO {role};
    CREATE MATERIALIZED VIEW bi.counted AS SELECT count(*) AS n FROM marts.leaders;
    CREATE MATERIALIZED VIEW bi.empty AS SELECT name FROM marts.people WITH NO DATA;
    CREATE VIEW bi.over AS SELECT n FROM bi.counted;
    ALTER MATERIALIZED VIEW marts.leaders OWNER TO {role};
    ALTER TABLE marts.people OWNER TO {role};
"""


def people(*rows):
    ids, names, bosses = zip(*rows, strict=True)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "name": pa.array(names),
            "boss": pa.array(bosses, pa.int64()),
        }
    )


@pytest.fixture
def dump(postgres_database):
    """Return what ``pg_dump --schema-only`` says of the database."""

    def call():
        done = subprocess.run(
            [program("pg_dump"), "--schema-only"],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | postgres_database.libpq_environment(),
        )
        return [line for line in done.stdout.splitlines() if "restrict" not in line]

    return call


@pytest.fixture
def published(publish, write_mart, database):
    """Publish a table of people, and hang all that PostgreSQL has on it."""
    write_mart("marts.people", people((1, "Ann", None), (2, "Bob", 1)))
    publish({"people": "marts.people"})
    for statement in FEATURES.format(role=f"owner_{os.urandom(4).hex()}").split(";\n"):
        database.execute(statement)


def test_the_schema_is_the_same_after_a_publish(published, publish, write_mart, database, dump):
    before = dump()
    write_mart("marts.people", people((1, "Ann", None), (2, "Bob", 1), (3, "Cid", None)))
    publish({"people": "marts.people"})
    assert dump() == before
    rows = database.execute("SELECT id, name, boss, twice, thrice FROM marts.people ORDER BY id")
    assert rows.fetchall() == [
        (1, "Ann", None, 2, 3),
        (2, "Bob", 1, 4, 6),
        (3, "Cid", None, 6, 9),
    ]
    leaders = database.execute("SELECT name FROM marts.leaders ORDER BY 1").fetchall()
    assert leaders == [("Ann",), ("Cid",)]
    assert database.execute("SELECT n FROM bi.over").fetchall() == [(2,)]
    database.execute("INSERT INTO bi.names VALUES (109, 'Ina')")
    assert database.execute("SELECT boss FROM marts.people WHERE id = 109").fetchall() == [(1,)]
    left = database.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'phlo_new'::regnamespace"
    )
    assert left.fetchall() == []


MORE_FEATURES = """
    SET allow_in_place_tablespaces = on;
    CREATE TABLESPACE {role} LOCATION '';
    ALTER TABLE marts.people SET TABLESPACE {role};
    CREATE INDEX spaced ON marts.people (boss) TABLESPACE {role};
    CREATE DOMAIN marts.positive AS bigint CHECK (VALUE > 0);
    CREATE TYPE marts.size AS ENUM ('small', 'large');
    ALTER TABLE marts.people
        ADD COLUMN during int8range NOT NULL GENERATED ALWAYS AS (int8range(0, 9)) STORED,
        ADD COLUMN place int8range NOT NULL GENERATED ALWAYS AS (int8range(id, id + 1)) STORED,
        ADD COLUMN sure marts.positive GENERATED ALWAYS AS (id) STORED,
        ADD COLUMN size marts.size
            GENERATED ALWAYS AS (CASE WHEN id > 1 THEN 'large'::marts.size END) STORED,
        ADD COLUMN upper text COLLATE "C" GENERATED ALWAYS AS (upper(name)) STORED;
    COMMENT ON COLUMN marts.people.upper IS 'loud';
    ALTER TABLE marts.people
        ADD CONSTRAINT people_key PRIMARY KEY (place, during WITHOUT OVERLAPS),
        ADD CONSTRAINT one_place EXCLUDE USING gist (place WITH &&) WHERE (id > 0)
            DEFERRABLE INITIALLY DEFERRED,
        ADD CONSTRAINT hoped CHECK (id > 100) NOT ENFORCED,
        ADD CONSTRAINT own CHECK (id > 0) NO INHERIT,
        ADD CONSTRAINT needed NOT NULL name NO INHERIT,
        ADD CONSTRAINT led NOT NULL boss NOT VALID;
    COMMENT ON CONSTRAINT led ON marts.people IS 'one day';
    CREATE TABLE bi.stays (place int8range, during int8range,
        CONSTRAINT where_and_when FOREIGN KEY (place, PERIOD during)
            REFERENCES marts.people (place, PERIOD during));
    CREATE TABLE bi.bosses (id bigint PRIMARY KEY);
    ALTER TABLE marts.people ADD CONSTRAINT loose FOREIGN KEY (boss) REFERENCES bi.bosses
        NOT ENFORCED;
    CREATE UNIQUE INDEX none_twice ON marts.people (id, boss) NULLS NOT DISTINCT;
    CREATE INDEX brin ON marts.people USING brin (id int8_minmax_multi_ops (values_per_range = 16))
        WITH (pages_per_range = 4);
    CREATE INDEX found ON marts.people (name text_pattern_ops DESC NULLS LAST);
    CREATE TRIGGER always BEFORE UPDATE OF name ON marts.people FOR EACH ROW
        EXECUTE FUNCTION suppress_redundant_updates_trigger();
    ALTER TABLE marts.people ENABLE ALWAYS TRIGGER always;
    CREATE TRIGGER replica BEFORE UPDATE ON marts.people FOR EACH ROW
        EXECUTE FUNCTION suppress_redundant_updates_trigger();
    ALTER TABLE marts.people ENABLE REPLICA TRIGGER replica;
    CREATE RULE quiet AS ON DELETE TO marts.people DO INSTEAD NOTHING;
    ALTER TABLE marts.people ENABLE REPLICA RULE quiet;
    ALTER TABLE marts.people ENABLE ROW LEVEL SECURITY;
    ALTER TABLE marts.people FORCE ROW LEVEL SECURITY;
    CREATE POLICY strict ON marts.people AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (id > 0);
    CREATE PUBLICATION everything FOR ALL TABLES;
    CREATE PUBLICATION part FOR TABLES IN SCHEMA marts;
    CREATE FUNCTION bi.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION bi.watch();
    CREATE VIEW bi.safe WITH (security_invoker = true) AS SELECT id FROM marts.people;
    ALTER VIEW bi.safe ALTER id SET DEFAULT 7;
    ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO PUBLIC;
    ALTER DEFAULT PRIVILEGES IN SCHEMA marts GRANT UPDATE ON TABLES TO PUBLIC;
    {last}
"""


@pytest.mark.filterwarnings("ignore:wal_level")
@pytest.mark.parametrize(
    "last",
    [
        "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM CURRENT_USER",
        "REVOKE ALL ON marts.people FROM CURRENT_USER",
        "REVOKE UPDATE ON marts.people FROM CURRENT_USER; GRANT SELECT (name) ON marts.people "
        "TO PUBLIC",
    ],
)
def test_what_later_versions_give_a_table_is_the_same_after_a_publish(
    last, publish, write_mart, database, dump
):
    write_mart("marts.people", people((1, "Ann", 1), (2, "Bob", 1)))
    publish({"people": "marts.people"})
    database.execute("CREATE SCHEMA bi")
    for statement in MORE_FEATURES.format(role=f"t_{os.urandom(4).hex()}", last=last).split(";\n"):
        database.execute(statement)
    before = dump()
    write_mart("marts.people", people((1, "Ann", 1), (2, "Bob", 1), (3, "Cid", 2)))
    publish({"people": "marts.people"})
    assert dump() == before
    query = "SELECT id, name, sure, size, upper FROM marts.people ORDER BY id"
    assert database.execute(query).fetchall() == [
        (1, "Ann", 1, None, "ANN"),
        (2, "Bob", 2, "large", "BOB"),
        (3, "Cid", 3, "large", "CID"),
    ]


def test_an_unlogged_table_stays_so(publish, write_mart, database):
    write_mart("marts.people", people((1, "Ann", None)))
    publish({"people": "marts.people"})
    database.execute("ALTER TABLE marts.people SET UNLOGGED")
    publish({"people": "marts.people"}, force=True)
    query = "SELECT relpersistence::text FROM pg_class WHERE oid = 'marts.people'::regclass"
    assert database.execute(query).fetchone() == ("u",)


def test_rows_that_a_foreign_key_from_outside_needs_cannot_vanish(
    published, publish, write_mart, database
):
    write_mart("marts.people", people((2, "Bob", None), (3, "Cid", None)))
    with pytest.raises(DataQualityError, match=r"\(person\)=\(1\)"):
        publish({"people": "marts.people"})
    assert database.execute("SELECT min(id) FROM marts.people").fetchone() == (1,)


def test_tables_that_refer_to_each_other_are_published_together(publish, write_mart, database):
    tables = {"a": "marts.a", "b": "marts.b"}
    for name in tables:
        write_mart(f"marts.{name}", pa.table({"id": [1], "other": [1]}))
    publish(tables)
    database.execute(
        """
        ALTER TABLE marts.a ADD PRIMARY KEY (id); ALTER TABLE marts.b ADD PRIMARY KEY (id);
        ALTER TABLE marts.a ADD FOREIGN KEY (other) REFERENCES marts.b;
        ALTER TABLE marts.b ADD FOREIGN KEY (other) REFERENCES marts.a;
        CREATE VIEW marts.both AS SELECT a.id FROM marts.a a JOIN marts.b b ON a.other = b.id;
        """
    )
    for name in tables:
        write_mart(f"marts.{name}", pa.table({"id": [2], "other": [2]}))
    publish(tables)
    assert database.execute("SELECT * FROM marts.both").fetchall() == [(2,)]
    keys = database.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f'").fetchone()
    assert keys == (2,)
    publish({"a": "marts.a"}, force=True)
    assert database.execute("SELECT * FROM marts.both").fetchall() == [(2,)]


STATEMENTS = [
    "ALTER TABLE marts.people SET (fillfactor = {n})",
    "ALTER TABLE marts.people ALTER {c} SET STATISTICS {n}",
    "ALTER TABLE marts.people ALTER {c} SET (n_distinct = {n})",
    "ALTER TABLE marts.people ALTER {c} SET DEFAULT NULL",
    "ALTER TABLE marts.people ADD COLUMN g{n} bigint GENERATED ALWAYS AS (id + {n}) STORED",
    "ALTER TABLE marts.people ADD CONSTRAINT c{n} CHECK (id <> {n} OR {c} IS NULL)",
    "ALTER TABLE marts.people ADD CONSTRAINT u{n} UNIQUE NULLS NOT DISTINCT (id, name, boss)",
    "ALTER TABLE marts.people ADD CONSTRAINT e{n} CHECK (id > {n}) NOT ENFORCED",
    "ALTER TABLE marts.people ADD CONSTRAINT x{n} EXCLUDE USING gist (int8range(id, id) WITH &&)",
    "ALTER TABLE marts.people ADD COLUMN v{n} bigint GENERATED ALWAYS AS (id + {n}) VIRTUAL",
    "ALTER TABLE marts.people ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "CREATE TABLE marts.o{n} (id bigint); ALTER TABLE marts.people ADD UNIQUE (id); "
    "ALTER TABLE marts.o{n} ADD FOREIGN KEY (id) REFERENCES marts.people (id) DEFERRABLE",
    "CREATE TRIGGER t{n} BEFORE UPDATE OF {c} ON marts.people FOR EACH ROW EXECUTE FUNCTION "
    "suppress_redundant_updates_trigger(); ALTER TABLE marts.people ENABLE ALWAYS TRIGGER t{n}",
    "REVOKE DELETE ON marts.people FROM CURRENT_USER",
    "ALTER TABLE marts.people REPLICA IDENTITY FULL",
    "CREATE INDEX i{n} ON marts.people ({c} DESC) WHERE id > {n}",
    "CREATE INDEX h{n} ON marts.people USING hash ({c})",
    "CREATE STATISTICS marts.s{n} (dependencies) ON id, name, boss FROM marts.people",
    "CREATE VIEW marts.v{n} WITH (security_barrier) AS SELECT {c} FROM marts.people",
    "CREATE MATERIALIZED VIEW marts.m{n} AS SELECT {c} FROM marts.people",
    "CREATE RULE r{n} AS ON UPDATE TO marts.people DO ALSO NOTHING",
    "CREATE POLICY p{n} ON marts.people USING ({c} IS NOT NULL)",
    "COMMENT ON COLUMN marts.people.{c} IS 'number {n}'",
    "GRANT SELECT ({c}), UPDATE ON marts.people TO PUBLIC",
]
HUNG = st.lists(
    st.tuples(
        st.sampled_from(STATEMENTS), st.integers(11, 99), st.sampled_from(["id", "name", "boss"])
    ),
    min_size=3,
    max_size=12,
    unique_by=lambda hung: (hung[0], hung[1]),
)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(hung=HUNG)
def test_whatever_hangs_on_a_table_is_the_same_after_a_publish(
    publish, write_mart, database, dump, hung
):
    database.execute("DROP SCHEMA IF EXISTS marts CASCADE")
    write_mart("marts.people", people((1, "Ann", None), (2, "Bob", 1)))
    publish({"people": "marts.people"})
    for statement, number, column in hung:
        database.execute(statement.format(n=number, c=column))
    before = dump()
    write_mart("marts.people", people((1, "Ann", None), (2, "Bob", 1), (3, "Cid", 1)))
    publish({"people": "marts.people"})
    assert dump() == before
    assert database.execute("SELECT count(*) FROM marts.people").fetchone() == (3,)
