"""The least that any program would do that sends a list in chunks: the calls, and nothing else. For `bench batch`.

python -m setactions.devtools.bare_calls ORIGIN FILE SIZE WORKERS
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests


def main(origin: str, file: str, size: str, workers: str) -> None:
    """Send the ids of a file, so many in each call, and so many calls at once. Raise unless all were accepted."""
    cids = Path(file).read_text().split()
    chunks = [cids[start : start + int(size)] for start in range(0, len(cids), int(size))]
    with requests.Session() as session, ThreadPoolExecutor(int(workers)) as pool:
        session.trust_env = False
        session.headers["Authorization"] = "Bearer bench"

        def call(chunk: list[str]) -> None:
            body = {"action": "PE-Enable", "cids": chunk}
            session.post(f"{origin}/tms/v1/set/action", json=body, timeout=30).raise_for_status()

        list(pool.map(call, chunks))


if __name__ == "__main__":
    main(*sys.argv[1:])
