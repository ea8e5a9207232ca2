"""What `manage.py audit_witness` does besides judging, which is audit.transparency.witness: it asks a site, and tells.

It runs on a machine that has nothing of the site: no database, none of its keys.
"""
