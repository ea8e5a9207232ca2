"""Check an evidence pack, with Python 3.8 and cryptography or OpenSSL 3: python3 verify.py PACK.zip [PUBLIC_KEY]"""

import csv, io, json, subprocess, sys, tempfile, zipfile
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

FIELDS = "previous_mac sequence time attempt_id kind user_id action_type ip_address body key_id mac"
KINDS = "RECORDED INTENT UNKNOWN DECIDED NOT_APPLIED APPLIED NOT_SENT REJECTED ACCEPTED IMPORTED REFUSED"  # trust rises
OUTCOMES = {"INTENT": "pending", "DECIDED": "decided_{ruling}", "IMPORTED": "{outcome}"}  # of others, it is the kind
DER = bytes.fromhex("302a300506032b6570032100")  # what stands before the 32 bytes of a public key


def zipped(files: "dict[str, bytes]") -> bytes:
    """Return the one ZIP file that holds these files, and their digests behind them."""
    digests = "".join(f"{sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        for name, data in {**files, "SHA256SUMS": digests.encode()}.items():
            info = zipfile.ZipInfo(name)  # of 1980, not compressed
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data)
    return content.getvalue()


def assert_signed(text: bytes, signature: bytes, key: bytes) -> None:
    """Raise an error unless a text was signed with the private half of a key."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except ImportError:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("key", DER + key), ("text", text), ("signature", signature)):
                Path(folder, name).write_bytes(content)
            command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile signature"
            subprocess.run(command.split(), cwd=folder, capture_output=True, check=True)


def main(path: str, given: str = "") -> None:
    """Print what a pack proves by the public key, or its file, that was given; exit, or raise an error, if nothing."""
    entries, archive = [], zipfile.ZipFile(io.BytesIO(content := Path(path).read_bytes()))
    files = {info.filename: archive.read(info) for info in archive.infolist() if info.file_size < len(content)}
    files.pop("SHA256SUMS") and zipped(files) == content or sys.exit("NOT PROVEN: a byte of the pack was changed.")
    text, signature = files["checkpoint.txt"].decode().split("\n\n\u2014 ")
    (origin, size, root, time), paths = text.split("\n"), json.loads(files["proofs.json"])["entries"]
    public, pem = (files[f"public_key.{form}"].decode().strip() for form in ("txt", "pem"))
    forms = [b64encode(start + b64decode(public.split("+", 2)[2])[1:]).decode() for start in (b"\1", DER)]  # of files
    known = Path(given).read_text() if given and Path(given).is_file() else given or public
    is_fit = "".join([public, *text.split("\n"), *files]).isprintable() and forms[1] in pem
    is_fit or sys.exit("NOT PROVEN: the pack holds two keys, or names that would change what a terminal shows.")
    any(form in known for form in forms) or sys.exit(f"NOT PROVEN: the key of the pack is another one, {public}.")
    assert_signed(f"{text}\n".encode(), b64decode(signature.split(" ")[1])[4:], b64decode(forms[0])[1:])
    attempt_id = (evidence := json.loads(files["evidence.json"]))["attempt"]["attempt_id"].replace("-", "")
    for name in [name for name in files if name.endswith(".leaf")]:
        entry = dict(zip(FIELDS.split(), json.loads(files[name])[1:]))
        node, index, last = sha256(b"\0" + files[name]).digest(), entry["sequence"] - 1, int(size) - 1
        index <= last or sys.exit(f"NOT PROVEN: entry {index + 1} is newer. Take the pack again after the next seal.")
        for level, sibling in enumerate(map(bytes.fromhex, paths[str(index + 1)]["path"])):  # RFC 9162, section 2.1.3
            is_right = index >> level & 1 or not (index ^ last) >> level
            node = sha256(b"\1" + (sibling + node if is_right else node + sibling)).digest()
        if (name, node, entry["attempt_id"]) != (f"entries/{index + 1}.leaf", b64decode(root), attempt_id):
            sys.exit(f"NOT PROVEN: {name} is not in the log that was signed, or is of another attempt.")
        entries.append({**entry, "body": json.loads(entry["body"])})
        print(ascii("Entry {sequence}, {time} UTC: {kind}, by {user_id} from {ip_address}".format(**entry))[1:-1])
    first, told = entries[0]["body"], max(entries, key=lambda entry: KINDS.index(entry["kind"]))
    outcome = OUTCOMES.get(told["kind"], told["kind"]).format(**told["body"]).lower()
    attempt = {**evidence["attempt"], "user": entries[0]["user_id"], "action": first["action_name"], "outcome": outcome}
    attempt.update(cluster=first["cluster_url"], customer_count=first["customer_count"], source=first["source"])
    said = {**evidence, "attempt": attempt, "customers": first["cids"], "entries": entries}
    json.dumps(said, indent=2).encode() == files["evidence.json"] or sys.exit("NOT PROVEN: evidence.json differs.")
    cells = [cell.lstrip("'") for [cell] in csv.reader(io.StringIO(files["customers.csv"].decode(), newline=""))]
    cells[1:] == [cid.lstrip("'") for cid in first["cids"]] or sys.exit("NOT PROVEN: customers.csv differs.")
    print(ascii("{action} on {cluster} for {customer_count} customer(s), by {user}: {outcome}".format(**attempt))[1:-1])
    print(f"PROVEN: all of this is in the log {origin} of {size} entries, as it was signed at {time[5:]} by {public}")
    print("It is the key given." if given else "THE PACK BROUGHT THAT KEY: compare it with the one on the audit's page")


if __name__ == "__main__":
    sys.excepthook = lambda kind, error, _: print(f"NOT PROVEN: changed or unreadable: {kind.__name__} {str(error)!a}")
    main(*sys.argv[1:]) if len(sys.argv) in (2, 3) else sys.exit(__doc__)
