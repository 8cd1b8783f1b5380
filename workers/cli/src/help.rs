//! The texts of `headrace --help` that belong to no step.

/// What the program is.
pub(crate) const ABOUT: &str = "Batch and stream workers that a data team runs from a terminal, Python or Airflow";

/// What the program is, and what to expect of it.
pub(crate) const LONG_ABOUT: &str = "\
Batch and stream workers that a data team runs from a terminal, Python or Airflow.

A step reads from one store, transforms and writes to another. Rows and positions are committed together: a step that was stopped or \
killed goes on where it was when the same command is run again, and no row is lost or doubled.";

/// Points from the short help to the long one.
pub(crate) const MORE: &str = "`headrace --help` also explains store URLs, passwords and exit codes.";

/// What `serve` does.
pub(crate) const SERVE: &str =
    "Serves what was worked out over HTTP until it is stopped: offers, a what-if form, a live page, metrics";

/// What `dashboard` does.
pub(crate) const DASHBOARD: &str =
    "Serves live pages over committed tables until it is stopped (needs Python with headrace[dashboard])";

/// What `completions` does.
pub(crate) const COMPLETIONS: &str =
    "Prints completions for a shell, as in: headrace completions bash > /etc/bash_completion.d/headrace";

/// Points from a step to the common help.
pub(crate) const AFTER_STEP: &str = "Store URLs, passwords and exit codes: headrace --help";

/// Examples, store URLs, passwords, exit codes.
pub(crate) fn after_help() -> String {
    format!("{EXAMPLES}\n\n{STORES}\n\n{PASSWORDS}\n\n{CODES}")
}

const EXAMPLES: &str = "\
Examples:
  A whole job on simulated data, with nothing installed:
    headrace recruitment demo
    headrace scoring demo
  Recruitment on your files, step by step, on the embedded store:
    headrace recruitment load tracking.csv --to embedded:./data
    headrace recruitment jobs job.csv --to embedded:./data
    headrace recruitment replay --from embedded:./data --to embedded:./data
    headrace recruitment clean --from embedded:./data --jobs embedded:./data --to embedded:./data
    headrace recruitment export --from embedded:./data --out result.csv
  On servers:
    headrace recruitment load tracking.csv --to cassandra://db1,db2/kafka_stream/tracking
    headrace recruitment clean --from kafka://broker:9092/users_created \\
      --jobs mysql://app@db/spark_stream/job --to mysql://app@db/spark_stream/result --follow
    headrace scoring score --from kafka://broker:9092/streaming-user-registration --model tariff.json \
      --offers clickhouse://app@olap/default --cache redis://cache --ledger mysql://app@db/headrace --follow";

const STORES: &str = "\
Store URLs:
  embedded:DIRECTORY                        rows, topics and results in one directory, no server
                                            embedded:./data   embedded:/srv/data?table=tracking
  cassandra://HOST[:9042],…/KEYSPACE/TABLE  Apache Cassandra
                                            cassandra://app@db1,db2/kafka_stream/tracking?tls=true
  kafka://HOST[:9092],…/TOPIC               Apache Kafka
                                            kafka://app@broker1:9093,broker2:9093/users_created?tls=true
  mysql://USER@HOST[:3306]/DATABASE/TABLE   MySQL or MariaDB
                                            mysql://app@db/spark_stream/result
  clickhouse://USER@HOST[:8123]/DATABASE    ClickHouse over HTTP; clickhouses:// over HTTPS
                                            clickhouse://app@olap/default
  redis://HOST[:6379][/NUMBER]              Redis; rediss:// over TLS
                                            redis://cache/0
  Special characters in names and passwords are percent-encoded: p%40ss for p@ss.";

const PASSWORDS: &str = "\
Passwords need not be on the command line. For a URL with a user and no password (of Redis also without a user), in this order:
  ?password_file=PATH            the first line of a file, such as a mounted secret
  ?password_env=NAME             an environment variable of your choice
  HEADRACE_CASSANDRA_PASSWORD, HEADRACE_KAFKA_PASSWORD, HEADRACE_MYSQL_PASSWORD,
  HEADRACE_CLICKHOUSE_PASSWORD, HEADRACE_REDIS_PASSWORD
                                 the variable of the URL's scheme; with TLS the same
  No password is ever printed or logged.";

const CODES: &str = "\
Exit codes:
  0  done
  1  failed, found differences (verify), or was stopped; run the same command again to go on
  2  wrong usage: an unknown or missing argument, or a value that cannot be understood
  3  done, but some rows were refused and kept as dead letters";
