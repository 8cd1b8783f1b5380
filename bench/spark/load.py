"""The raw load as a Spark job: CSV → Cassandra with the Spark connector.  load.py CSV ROWS KEYSPACE TABLE HOST PORT"""

from __future__ import annotations

import sys

from session import session, timed

DOUBLES = ("bid", "campaign_id", "cd", "ev", "group_id", "job_id", "publisher_id", "tz", "v")


def main() -> None:
    file, expected, keyspace, table, host, port = sys.argv[1:]
    spark = session({
        "spark.cassandra.connection.host": host,
        "spark.cassandra.connection.port": port,
        # Empty fields are left out instead of becoming tombstones.
        "spark.cassandra.output.ignoreNulls": "true",
    })

    def load() -> int:
        # Records hold line breaks in quotes, so one task reads the file; all cores write.
        rows = spark.read.csv(file, header=True, quote='"', escape='"', multiLine=True).drop("_c0")
        rows = rows.repartition(spark.sparkContext.defaultParallelism)
        for name in DOUBLES:
            rows = rows.withColumn(name, rows[name].cast("double"))
        rows.write.format("org.apache.spark.sql.cassandra").options(keyspace=keyspace, table=table).mode("append").save()
        return int(expected)

    timed(load)
    spark.stop()


if __name__ == "__main__":
    main()
