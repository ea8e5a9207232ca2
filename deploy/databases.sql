-- The three databases, made once by the PostgreSQL of compose.yaml.
CREATE DATABASE tms_app;
CREATE DATABASE tms_jobs;
CREATE DATABASE tms_audit;
