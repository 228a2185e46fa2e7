"""The same summary as in summary.sql, from Python: a user's function measures each payload."""

import argparse

# PyFlink is on the nodes only, not where types are checked.
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment  # type: ignore[import-not-found]
from pyflink.table.udf import udf  # type: ignore[import-not-found]

EVENTS = """
CREATE TABLE events (
  `timestamp` BIGINT NOT NULL, src STRING NOT NULL, host_ip STRING NOT NULL, rawdata BYTES NOT NULL
) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'avro'
)
"""
SUMMARY = """
CREATE TABLE summary (src STRING NOT NULL, events BIGINT NOT NULL, `bytes` BIGINT NOT NULL) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
  'format' = 'avro'
)
"""


@udf(result_type=DataTypes.BIGINT().not_null())  # type: ignore[untyped-decorator]
def length(payload: bytes) -> int:
    """Return how many bytes ``payload`` has."""
    return len(payload)


def main() -> None:
    """Run the job to its end on the cluster that ``flink run`` names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    # Not --from and --to: `flink run` would take the first for an abbreviation of --fromSavepoint.
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    tables.get_config().set("pipeline.name", "lab-python").set("parallelism.default", "1")
    tables.create_temporary_function("payload_length", length)
    tables.execute_sql(EVENTS.format(topic=args.input, bootstrap=args.bootstrap))
    tables.execute_sql(SUMMARY.format(topic=args.output, bootstrap=args.bootstrap))
    tables.execute_sql(
        "INSERT INTO summary SELECT src, COUNT(*), SUM(payload_length(rawdata)) FROM events GROUP BY src"
    )


if __name__ == "__main__":
    main()
