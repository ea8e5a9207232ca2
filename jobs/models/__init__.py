"""Jobs, batches, live state and app status runs."""

from jobs.models.app_status import AppRun, AppRunCustomer, AppStatus, RunbookEntry
from jobs.models.batches import Batch, BatchChunk, ClusterBackoff
from jobs.models.jobs import (
    EXCEPTIONS,
    MAX_CUSTOMERS,
    MESSAGE_LENGTH,
    TESTED,
    Job,
    JobCustomer,
    JobDay,
    Signed,
    customers_from,
    payload_to_store,
    whole_payload,
)
from jobs.models.live import JobConfirmation, LiveCluster, LiveList, LiveReading, LiveState
from jobs.models.reviews import StoredReview

__all__ = [
    "EXCEPTIONS",
    "MAX_CUSTOMERS",
    "MESSAGE_LENGTH",
    "TESTED",
    "AppRun",
    "AppRunCustomer",
    "AppStatus",
    "Batch",
    "BatchChunk",
    "ClusterBackoff",
    "Job",
    "JobConfirmation",
    "JobCustomer",
    "JobDay",
    "LiveCluster",
    "LiveList",
    "LiveReading",
    "LiveState",
    "RunbookEntry",
    "Signed",
    "StoredReview",
    "customers_from",
    "payload_to_store",
    "whole_payload",
]
