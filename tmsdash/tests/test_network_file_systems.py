"""SQLite is refused on disks of other machines; what locks files there works, or says in a sentence why it cannot."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from tmsdash.db import file_systems, locks
from tmsdash.db.file_systems import network_type, type_in
from tmsdash.tests.fresh_settings import DATABASE_URLS

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid shared:5 - proc proc rw
40 22 0:44 / /srv rw,relatime shared:9 master:1 - nfs4 filer:/export rw,vers=4.2,local_lock=none
41 40 0:45 / /srv/local rw - xfs /dev/vdb rw
42 22 0:46 / /mnt/two\040words rw - cifs //filer/share rw
43 22 0:47 / /home rw - ext4 /dev/vdc rw
44 43 0:48 / /home rw - fuse.sshfs anna@filer: rw
45 22 0:49 / /weird rw - ext4 /dev/disk/a\040-\040nfs rw
""".lstrip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/proc/self", "proc"),
        ("/srv", "nfs4"),
        ("/srv/tms/var/app.db", "nfs4"),
        ("/srv/local/app.db", "xfs"),
        ("/srv2/app.db", "ext4"),
        ("/mnt/two words/app.db", "cifs"),
        ("/home/anna/var", "fuse.sshfs"),
        ("/weird/app.db", "ext4"),
    ],
)
def test_the_innermost_and_newest_mount_tells_the_type(path, kind):
    assert type_in(MOUNTS, Path(path)) == kind


@pytest.fixture
def mounted(monkeypatch, tmp_path):
    """Tells the product that its folder is of a type of file system."""

    def mount(kind):
        file = tmp_path / "mountinfo"
        file.write_text(f"{MOUNTS}46 22 0:50 / {tmp_path} rw - {kind} filer:/var rw\n")
        monkeypatch.setattr(file_systems, "MOUNTS", file)

    return mount


def test_a_link_to_a_folder_on_the_network_is_followed(mounted, tmp_path):
    mounted("nfs")
    link = Path(os.path.relpath(tmp_path, "/")) / ".." / tmp_path.name
    assert [network_type(Path("/") / link / "var" / "app.db"), network_type(Path("/nowhere"))] == ["nfs", ""]


def test_where_mounts_cannot_be_asked_for_nothing_is_said_of_them(monkeypatch, tmp_path):
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "none")
    assert network_type(tmp_path) == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_sqlite_on_a_network_file_system_stops_the_start_with_a_sentence(settings_of, mounted, kind):
    mounted(kind)
    with pytest.raises(ImproperlyConfigured, match=rf"^DATABASE_URL: .*app\.db.*\({kind}\)\. Put VAR_DIR on a disk"):
        settings_of()


def test_so_does_a_single_file_there(settings_of, mounted, tmp_path):
    mounted("nfs4")
    urls = dict.fromkeys(DATABASE_URLS, "postgres://u@db.example/x") | {
        "AUDIT_DATABASE_URL": f"sqlite:///{tmp_path}/a.db"
    }
    with pytest.raises(ImproperlyConfigured, match=r"^AUDIT_DATABASE_URL: .*a\.db"):
        settings_of(**urls)


def test_var_dir_may_be_there_if_all_databases_are_postgresql(settings_of, mounted):
    mounted("nfs4")
    urls = {name: f"postgres://u@db.example/{name.lower()}" for name in DATABASE_URLS}
    assert settings_of(**urls)["VAR_DIR"].name == "var"


def test_a_disk_of_this_host_is_taken(settings_of, mounted):
    mounted("ext4")
    assert settings_of()["DATABASES"]["jobs"]["NAME"].endswith("jobs.db")


# -- locks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def locks_of_nfs(monkeypatch, settings, tmp_path):
    """Linux makes flock's locks fcntl's on NFS, which gives those for writing to whoever may write."""
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(locks.fcntl, "flock", fcntl.lockf)


@pytest.fixture
def no_locks(monkeypatch, settings, tmp_path):
    """A server of files that locks none."""
    settings.VAR_DIR = tmp_path

    def refuse(descriptor, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)


def test_whatever_locks_a_file_gets_its_lock_on_nfs(locks_of_nfs, tmp_path):
    with locks.alone("work", on_wait=lambda: pytest.fail("waited")):
        pass
    descriptor = locks.hold(tmp_path / "runners" / "one")
    os.close(descriptor)
    assert not locks.is_held(tmp_path / "runners" / "one")


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_lock_that_cannot_be_had_is_explained_in_a_sentence(no_locks, monkeypatch, tmp_path, code):
    def refuse(descriptor, kind):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="locks no files") as raised, locks.alone("work", on_wait=lambda: None):
        pytest.fail("was alone")
    assert (raised.value.errno, raised.value.filename) == (code, str(tmp_path / "work.lock"))
    assert "Put VAR_DIR on a disk of this host" in raised.value.strerror


def test_who_may_only_read_the_lock_file_on_nfs_is_told_the_same(locks_of_nfs, monkeypatch, tmp_path):
    (tmp_path / "work.lock").touch()
    monkeypatch.setattr(locks, "_open", lambda path: os.open(path, os.O_RDONLY))
    with pytest.raises(OSError, match=r"locks no files for this process \(Bad file descriptor\)"):
        locks.hold(tmp_path / "work.lock")


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.linux
def test_a_lock_that_cannot_be_had_leaves_no_file_open(no_locks, tmp_path):
    before = open_descriptors()
    for attempt in (locks.hold, locks.share, locks.is_held):
        with pytest.raises(OSError, match="locks no files"):
            attempt(tmp_path / "work")
    with pytest.raises(OSError, match="locks no files"), locks.held_alone(tmp_path / "work"):
        pytest.fail("was alone")
    assert open_descriptors() == before


def test_migrating_without_locks_ends_with_a_sentence(no_locks, databases):
    with pytest.raises(CommandError, match=r"cannot be locked for migrating; nothing was changed\. .*locks no files"):
        call_command("migrate_all", verbosity=0)


@pytest.mark.sqlite
def test_sqlite_is_not_used_where_no_file_can_be_locked(no_locks, databases, monkeypatch):
    connections["jobs"].close()
    monkeypatch.setattr(locks, "_descriptors", {})  # as in a process that has not connected yet
    with pytest.raises(OperationalError, match="locks no files"):
        connections["jobs"].ensure_connection()
    assert connections["jobs"].connection is None
