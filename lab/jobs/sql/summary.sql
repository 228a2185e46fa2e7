-- One row for each source of the copied events: how many there are and how long their payloads.
-- Every column is NOT NULL: without it Flink expects unions with null, which PNDA's schema has not.
SET 'execution.runtime-mode' = 'batch';
SET 'table.dml-sync' = 'true';
SET 'pipeline.name' = 'lab-sql';
SET 'parallelism.default' = '1';

CREATE TABLE events (
  `timestamp` BIGINT NOT NULL,
  src STRING NOT NULL,
  host_ip STRING NOT NULL,
  rawdata BYTES NOT NULL
) WITH (
  'connector' = 'kafka',
  'topic' = '@FROM@',
  'properties.bootstrap.servers' = '@BOOTSTRAP@',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset',
  'format' = 'avro'
);

CREATE TABLE summary (
  src STRING NOT NULL,
  events BIGINT NOT NULL,
  `bytes` BIGINT NOT NULL
) WITH (
  'connector' = 'kafka',
  'topic' = '@TO@',
  'properties.bootstrap.servers' = '@BOOTSTRAP@',
  'format' = 'avro'
);

INSERT INTO summary
SELECT src, COUNT(*), SUM(CAST(CHAR_LENGTH(DECODE(rawdata, 'ISO-8859-1')) AS BIGINT)) FROM events GROUP BY src;
