-- Two roles for each of the three databases: an owner, as which `manage.py migrate_all` runs, and a server role, as which
-- the site serves. The server role cannot change or drop tables, triggers or functions, and of the audit's entries it can
-- neither change nor remove one, whatever becomes of the triggers.
--
-- Once, as the administrator of the server, one line for each database (app, jobs, audit):
--
--     CREATE ROLE tms_audit_owner LOGIN;  CREATE ROLE tms_audit_server LOGIN;
--     CREATE DATABASE tms_audit OWNER tms_audit_owner;
--     REVOKE ALL ON DATABASE tms_audit FROM PUBLIC;  GRANT CONNECT ON DATABASE tms_audit TO tms_audit_server;
--
-- if the site connects through PgBouncer, where only a role can have limits, also
--
--     ALTER ROLE tms_audit_server SET idle_in_transaction_session_timeout = '15s';
--     ALTER ROLE tms_audit_server SET lock_timeout = '20s';
--
-- and in pg_hba.conf a line for each, with certificates or, over a socket of the same host, `peer`, best without passwords:
--
--     hostssl tms_audit tms_audit_owner,tms_audit_server 10.0.0.0/24 cert
--
-- Then migrate as the owners (the three DATABASE_URLs name them), and run this in each database as its owner, after every
-- upgrade once more:
--
--     psql -v server=tms_audit_server -f docs/postgresql.sql "host=db.example dbname=tms_audit user=tms_audit_owner"
--
-- Serve, and run all other commands, with URLs of the server roles. `migrate_all`, `backup`, `restore`, `move_data` and
-- `audit_archive` lock or change tables and triggers, and so are for the owners.

\set ON_ERROR_STOP on
BEGIN;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"server";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"server";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO :"server";
-- `audit_verify` makes tables in its session alone, to compare the audit's with.
GRANT TEMPORARY ON DATABASE :"DBNAME" TO :"server";
-- Which migrations ran is for the owner to write.
REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM :"server";
SELECT to_regclass('public.audit_auditentry') IS NOT NULL AS is_audit \gset
\if :is_audit
REVOKE UPDATE, DELETE ON audit_auditentry, audit_storedcheckpoint FROM :"server";
\endif
COMMIT;
