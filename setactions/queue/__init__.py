"""The queue: what is carried in turns by workers of Celery, on any number of hosts. Batches and app status runs are."""
