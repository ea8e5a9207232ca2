"""Somebody with both keys of a site, who writes its history anew: entries, seals, checkpoints and tree.

The formats are written down here once more: RFC 9162 for the tree, C2SP for checkpoints.
"""

import hashlib
import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from setactions.devtools.tampering.stranger import ENTRIES, FACTS, KeyHolder

COLUMNS = f"sequence, created_at, coalesce(attempt_id, ''), kind, {FACTS}, previous_mac, mac"
Entry = list[Any]


def root_of(hashes: list[bytes]) -> bytes:
    """Return the root of a tree with the hashes of these leaves."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(hashes[:half]) + root_of(hashes[half:])).digest()


class Forger(KeyHolder):
    """Leaves behind what `audit_verify` finds whole, unless it is given what was kept elsewhere."""

    def rewrite_all(self, change: Callable[[sqlite3.Connection], object], *, signing_key: bytes = b"") -> None:
        """Change entries in the database, and make all that was signed since anew, in its order.

        Without a `signing_key` it is the site's.
        """
        key = signing_key or b64decode((self.var / "audit_signing_key").read_text())
        self._signing_key = Ed25519PrivateKey.from_private_bytes(key)
        with self.open() as database:
            change(database)
            self._seals = {seal["number"]: seal for seal in map(json.loads, self.seals.read_text().splitlines())}
            self._macs: dict[int, str] = {}
            self._hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in self._archived_leaves()]
            mac = ""
            for sequence, at, attempt_id, kind, *facts, before, _ in database.execute(
                f"SELECT {COLUMNS} FROM {ENTRIES} ORDER BY sequence"
            ).fetchall():
                if kind == "SEALED":
                    facts[-1] = self._sealed_again(database, json.loads(facts[-1]))
                mac = mac or bytes(before).hex()
                time = at if "." in at else f"{at}.000000"
                signed = ["entry", mac, sequence, time, attempt_id, kind, *facts]
                made = self.sign(*signed)
                values = (facts[-1], bytes.fromhex(mac), bytes.fromhex(made), sequence)
                database.execute(f"UPDATE {ENTRIES} SET body = ?, previous_mac = ?, mac = ? WHERE sequence = ?", values)
                self._add_leaf([*signed, self.key_id, made])
                mac = made
            head = (sequence, mac, self.sign("head", sequence, mac))
            database.execute("UPDATE audit_chainhead SET sequence = ?, mac = ?, signature = ?", head)
            self._write_tree(database)
        self.with_seals(lambda _: [json.dumps(seal) for seal in self._seals.values()])

    def _archived_leaves(self) -> list[bytes]:
        leaves = []
        for line in self.archived_lines()[1:-1]:
            sequence, previous, mac, key_id, *rest = json.loads(line)
            attempt_id, kind, time, *facts = rest
            leaves.append(self._leaf(["entry", previous, sequence, time, attempt_id, kind, *facts, key_id, mac]))
        return leaves

    def _leaf(self, parts: list[Any]) -> bytes:
        return json.dumps(parts, separators=(",", ":")).encode()

    def _add_leaf(self, parts: list[Any]) -> None:
        self._hashes.append(hashlib.sha256(b"\x00" + self._leaf(parts)).digest())
        self._macs[parts[2]] = parts[-1]

    def _sealed_again(self, database: sqlite3.Connection, body: dict[str, Any]) -> str:
        """Make the checkpoint and the seal anew that an entry notes; return its body."""
        size, seal = body["size"], self._seals[body["number"]]
        root = root_of(self._hashes[:size])
        origin, _, _, time = seal["checkpoint"].split("\n")[:4]
        text = f"{origin}\n{size}\n{b64encode(root).decode()}\n{time}\n"
        public = self._signing_key.public_key().public_bytes_raw()
        key_id = hashlib.sha256(f"{origin}\n".encode() + b"\x01" + public).digest()[:4]
        signature = b64encode(key_id + self._signing_key.sign(text.encode())).decode()
        note = f"{text}\n— {origin} {signature}\n"
        before = self._seals.get(body["number"] - 1)
        seal |= {"checkpoint": note, "previous": before["signature"] if before else "0" * 64, "signature": ""}
        seal |= {"mac": self._macs.get(seal["sequence"], seal["mac"])}
        seal["signature"] = self.sign("seal", *(seal[name] for name in sorted(seal)))
        database.execute("UPDATE audit_storedcheckpoint SET root = ?, note = ? WHERE size = ?", (root, note, size))
        self._size = size
        return json.dumps(
            body | {"root": root.hex(), "signature": seal["signature"]}, separators=(",", ":"), sort_keys=True
        )

    def _write_tree(self, database: sqlite3.Connection) -> None:
        hashes = b"".join(self._hashes[: self._size])
        database.execute("UPDATE audit_merkletile SET hashes = ? WHERE level = 0 AND number = 0", [hashes])
