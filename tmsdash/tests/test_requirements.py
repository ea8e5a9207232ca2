"""What is installed is what was written down: each package with its version and the hashes of its files."""

import json
import re
import subprocess
import sys
from importlib.metadata import distributions

import pytest
from django.conf import settings

FOLDER = settings.BASE_DIR
NAMES = ("requirements", "requirements-celery", "requirements-timestamps", "requirements-dev")
NOT_LOCKED = {"pip", "setuptools"}  # Python brings them along


def plain(name):
    """Return the name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(name):
    """Return our own choices, {package: version}."""
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    pinned = [re.match(r"([A-Za-z0-9_.-]+)(?:\[.*?\])?==(\S+)", line) for line in lines]
    assert all(match or line.startswith(("#", "-r ", "-c ")) for match, line in zip(pinned, lines, strict=True))
    return {plain(match[1]): match[2] for match in pinned if match}


def locked(name):
    """Return {package: version} of a lock; each has hashes, and nothing else stands there."""
    text = re.sub(r"^ *#.*\n", "", (FOLDER / f"{name}.lock").read_text(), flags=re.MULTILINE)
    entries = re.findall(
        r"^(\S+)==(\S+)(?: ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n", text, re.MULTILINE
    )
    assert text.count("==") - len(re.findall(r"_\w+ == ", text)) == len(entries)
    assert not re.search(r"https?:|/|index", text)
    return {plain(package): version for package, version, _ in entries}


@pytest.mark.parametrize("name", NAMES)
def test_the_lock_holds_each_of_our_own_choices_in_the_same_version(name):
    assert wanted(name).items() <= locked(name).items()


@pytest.mark.parametrize("name", ["requirements", "requirements-celery", "requirements-timestamps"])
def test_the_lock_of_the_tests_holds_those_of_the_product(name):
    assert locked(name).items() <= locked("requirements-dev").items()


def test_every_installed_package_is_in_the_lock_in_that_version():
    installed = {plain(one.metadata["Name"]): one.version for one in distributions()}
    assert {name: version for name, version in installed.items() if name not in NOT_LOCKED}.items() <= locked(
        "requirements-dev"
    ).items()


@pytest.mark.parametrize("name", ["granian", "psycopg-binary", "cryptography", "cffi", "pysqlite3"])
def test_packages_with_compiled_parts_have_hashes_for_many_platforms(name):
    """Python 3.11 to 3.13 on Linux (x86_64, aarch64) and macOS."""
    text = (FOLDER / "requirements.lock").read_text()
    entry = re.search(rf"^{name}==.*(?:\n    --hash.*)+", text, re.MULTILINE)
    assert entry[0].count("--hash") >= 9


def test_the_bill_of_materials_names_every_package_of_the_product(tmp_path):
    rule = re.search(r"^sbom:.*\n((?:\t.*\n)+)", (FOLDER / "Makefile").read_text(), re.MULTILINE)[1]
    command = rule.replace("$(PY)", sys.executable).replace("$(SBOM)", str(tmp_path / "bom")).strip().removeprefix("@")
    ended = subprocess.run(["/bin/sh", "-c", command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    bom = json.loads((tmp_path / "bom").read_text())
    assert bom["bomFormat"] == "CycloneDX"
    assert bom["metadata"]["component"]["name"] == "tms-dashboard"
    assert {plain(one["name"]): one["version"] for one in bom["components"]} == locked("requirements")
