-- The database of the recruitment system, and a user who may use it and nothing else. Headrace makes the tables itself.
CREATE DATABASE IF NOT EXISTS spark_stream CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;
CREATE USER IF NOT EXISTS headrace@'%' IDENTIFIED BY 'headrace-local';
-- DROP is what replacing the view `result_filled` takes; the underscore would be a wildcard without its backslash.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, CREATE VIEW, DROP ON `spark\_stream`.* TO headrace@'%';
