"""Programs that are forked with the libraries loaded: they begin and end as if the interpreter had been started."""

import subprocess

import pytest

from tmsdash.tests import forked


@pytest.fixture
def run(tmp_path):
    """Run a program with one argument and one variable."""

    def run(program, timeout_s=60):
        (tmp_path / "program.py").write_text(program)
        return forked.run(tmp_path / "program.py", ["an argument"], env={"NAME": "value"}, timeout_s=timeout_s)

    return run


def test_it_has_its_own_arguments_environment_and_folder_and_nothing_to_read(run, tmp_path):
    ended = run("import os, sys\nprint(sys.argv, dict(os.environ), os.getcwd(), repr(sys.stdin.read()))")
    assert ended.stdout == f"['program.py', 'an argument'] {{'NAME': 'value'}} {tmp_path} ''\n"
    assert (ended.returncode, ended.stderr) == (0, "")


def test_nothing_of_the_product_is_loaded_beforehand(run):
    ended = run(
        "import sys\nprint(sorted(name for name in sys.modules if name.partition('.')[0] in ('tmsdash', 'setactions')))"
    )
    assert ended.stdout == "['tmsdash', 'tmsdash.tests', 'tmsdash.tests.forked']\n"


@pytest.mark.parametrize(
    ("program", "code", "stderr"),
    [
        ("import sys\nsys.exit('A sentence.')", 1, "A sentence.\n"),
        ("import sys\nsys.exit(3)", 3, ""),
        ("import os\nos.kill(os.getpid(), 9)", -9, ""),
        ("import atexit, sys\natexit.register(sys.stderr.write, 'At last.')\nsys.exit(2)", 2, "At last."),
        ("import sys\nsys.excepthook = lambda *_: print('Caught.', file=sys.stderr)\n1 / 0", 1, "Caught.\n"),
    ],
)
def test_it_ends_as_it_would_by_itself(run, program, code, stderr):
    ended = run(program)
    assert (ended.returncode, ended.stderr) == (code, stderr)


def test_it_may_begin_anew(run):
    program = "import os, sys\n'AGAIN' in os.environ or os.execve(sys.executable, sys.orig_argv, {'AGAIN': '1'})\n"
    assert run(f"{program}print(sys.argv[1])").stdout == "an argument\n"


def test_one_that_does_not_end_is_ended(run):
    with pytest.raises(subprocess.TimeoutExpired):
        run("import signal\nsignal.pause()", timeout_s=0.1)
