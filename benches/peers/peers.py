"""Runs one query on DuckDB or chDB and prints its times and its answer as JSON.

usage: peers.py ENGINE THREADS REPEAT QUERY LAKE NOW
"""

import decimal
import json
import sys
import time

engine, threads, repeat, query, lake, now = sys.argv[1:]
sql = open(query).read().replace("$NOW", f"'{now}'")


def create_views(run, function):
    for table in ("DeviceNetworkEvents", "AWSCloudTrail"):
        run(f"CREATE VIEW {table} AS SELECT * FROM {function.format(f'{lake}/{table}/*/*.parquet')}")


if engine == "duckdb":
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}; SET TimeZone = 'UTC'")
    create_views(connection.execute, "read_parquet('{}')")

    def ask():
        return connection.execute(sql).fetchall()

    def rows(answer):
        return [[float(cell) if isinstance(cell, decimal.Decimal) else cell for cell in row] for row in answer]

else:
    from chdb import session

    connection = session.Session()
    connection.query(f"SET max_threads = {threads}")
    create_views(connection.query, "file('{}', Parquet)")

    def ask():
        return connection.query(sql, "JSONCompactEachRow")

    def rows(answer):
        lines = answer.bytes().decode().splitlines()
        return [json.loads(line) for line in lines if line]


seconds = []
for _ in range(int(repeat)):
    start = time.perf_counter()
    answer = ask()
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": seconds, "rows": rows(answer)}))
