"""`make install`: each version in a folder of its own, and the way to the newer one and back."""

import os
import shutil
import subprocess

import pytest
from django.conf import settings

ROOT = settings.BASE_DIR
# In the place of Python: makes an environment whose own Python does nothing, so that nothing is downloaded.
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 0
mkdir -p "$3/bin" && printf '#!/bin/sh\\n' >"$3/bin/python" && chmod 755 "$3/bin/python"
"""


class Installer:
    def __init__(self, folder):
        self.source, self.target = folder / "source", folder / "site"
        self.python = folder / "python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        shutil.copytree(ROOT / "deploy", self.source / "deploy", ignore=shutil.ignore_patterns("secrets"))
        shutil.copy(ROOT / "Makefile", self.source)
        for name in (
            "manage.py",
            "docs/page.md",
            "app/tests/test_app.py",
            ".env",
            "var/secret_key",
            "deploy/secrets/env",
        ):
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text("first")
            (self.source / name).chmod(0o600)

    def run(self, target=None, umask=0o022):
        return subprocess.run(
            [shutil.which("make"), "install", f"DIR={target or self.target}", f"PYTHON={self.python}"],
            cwd=self.source,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
        )

    def install(self, content="first"):
        (self.source / "manage.py").write_text(content)
        ended = self.run(umask=0o077)
        assert ended.returncode == 0, ended.stderr
        assert (self.target / "manage.py").read_text() == content
        return (self.target / "current").readlink()


@pytest.fixture
def installer(tmp_path):
    return Installer(tmp_path)


def test_a_version_is_installed_with_what_a_site_needs_and_without_anything_of_its_source(installer):
    installer.install()
    current = installer.target / "current"
    files = {path.relative_to(current.resolve()).as_posix() for path in current.resolve().rglob("*") if path.is_file()}
    assert {"manage.py", "docs/page.md", "deploy/nginx.conf", ".venv/installed", ".venv/bin/python"} <= files
    assert not files & {"app/tests/test_app.py", ".env", "var/secret_key", "deploy/secrets/env"}
    assert {path.name for path in installer.target.iterdir()} == {
        *("versions", "current"),
        *(".venv", "deploy", "docs", "manage.py"),
    }
    assert os.access(current / ".venv/bin/python", os.X_OK)


def test_the_same_version_again_changes_nothing_a_newer_one_is_led_to_and_an_older_one_led_back_to(installer):
    first = installer.install()
    marked = installer.target / first / "marked"
    marked.touch()
    assert installer.install() == first
    newer = installer.install("newer")
    assert newer != first
    assert marked.exists()  # a server that runs keeps its files
    assert installer.install() == first
    assert marked.exists()


def test_an_interrupted_installation_is_begun_anew_and_nothing_leads_to_it_before(installer):
    first = installer.install()
    installer.python.write_text(f"{PYTHON}exit 1\n")
    (installer.source / "manage.py").write_text("newer")
    assert installer.run().returncode != 0
    assert (installer.target / "current").readlink() == first
    installer.python.write_text(PYTHON)
    assert installer.install("newer") != first


def test_the_three_newest_versions_stay(installer):
    versions = []
    for number, content in enumerate(("one", "two", "three", "four")):
        versions.append(installer.install(content))
        os.utime(installer.target / versions[-1], (number, number))  # they were not all made in this second
    kept = {path.name for path in (installer.target / "versions").iterdir()}
    assert kept == {version.name for version in versions[1:]}


def test_a_folder_that_cannot_be_made_or_is_the_source_is_refused_in_a_sentence(installer, tmp_path):
    (tmp_path / "file").touch()
    for target, words in (
        (tmp_path / "file" / "site", "cannot be made. Run: sudo install -d"),
        (installer.source, "itself"),
    ):
        ended = installer.run(target)
        assert ended.returncode != 0
        assert words in ended.stderr
        assert not (installer.source / "versions").exists()


def test_an_installation_by_hand_stays_as_it_is(installer):
    installer.target.mkdir()
    (installer.target / "manage.py").write_text("by hand")
    ended = installer.run()
    assert ended.returncode != 0
    assert "made by hand. Move it away first" in ended.stderr
    assert [path.name for path in installer.target.iterdir()] == ["manage.py"]


@pytest.mark.root
def test_root_leaves_no_files_in_the_folder_of_somebody_else(installer):
    installer.target.mkdir()
    os.chown(installer.target, 65_534, 65_534)
    ended = installer.run()
    assert ended.returncode != 0
    assert "Nothing was changed" in ended.stderr
    assert list(installer.target.iterdir()) == []
