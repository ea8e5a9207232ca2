"""The import contracts of pyproject.toml, each broken on purpose in a copy of the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# One for each contract: a module, and what it must not import.
BREAKS = [
    ("tmsdash.text", "audit.choices"),
    ("setactions.inputs.ids", "setactions.service"),
    ("setactions.management.commands.serve", "setactions.devtools.demo"),
    ("setactions.pages.new_action", "setactions.tms.client"),
    ("setactions.pages.attempt", "audit.services"),
    ("setactions.api", "audit.chain"),
    ("setactions.pages.batches", "jobs.services"),
    ("setactions.pages.batch_controls", "jobs.batches.ledger"),
    ("setactions.payload", "jobs.batches.creation"),
    ("setactions.app_status.selection", "jobs.app_status.ledger"),
    ("setactions.app_status.answers", "jobs.leases"),
]


@pytest.fixture
def tree(tmp_path):
    """A copy of all modules, without tests."""
    for package in ("setactions", "jobs", "audit", "tmsdash"):
        for module in (ROOT / package).rglob("*.py"):
            name = module.relative_to(ROOT)
            if not {"tests", "migrations"} & {*name.parts}:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(module, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree):
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache", "--no-logo"], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    return done.stdout


def test_every_contract_can_be_broken_and_names_the_import(tree):
    for importer, imported in BREAKS:
        with (tree / f"{importer.replace('.', '/')}.py").open("a") as module:
            module.write(f"import {imported}\n")
    report = lint(tree)
    assert f"Contracts: 0 kept, {len(BREAKS)} broken." in report
    assert [pair for pair in BREAKS if "{} -> {} (l.".format(*pair) not in report] == []


def test_a_new_module_needs_a_place_in_the_layers(tree):
    (tree / "setactions" / "newcomer.py").touch()
    report = lint(tree)
    assert "1 broken." in report
    assert "newcomer" in report
