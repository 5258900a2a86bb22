"""Control groups on trees of files, in both versions and mixtures of them."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.monitoring.cgroups import Cgroups, MemoryGroup
from tests.monitoring.cgroup_trees import NONE_V1, V2_MOUNT, tree

GB = 10**9
limits = st.one_of(st.none(), st.just("max"), st.integers(1, 2**50), st.just("what is this"))


@given(st.lists(limits, min_size=1, max_size=6), st.sampled_from([1, 2]))
def test_the_least_limit_of_the_chain_holds(chain: list[int | str | None], version: int) -> None:
    """However deep the process lies, its limit is the least that any group around it has; a file that is missing, has
    no number or says "none" is no limit."""
    path = "/".join(f"g{depth}" for depth in range(len(chain)))
    files = {}
    for depth, limit in enumerate(chain):
        folder = "/".join(f"g{each}" for each in range(depth + 1))
        if version == 2:
            files[f"{folder}/cgroup.procs"] = ""
            files |= {} if limit is None else {f"{folder}/memory.max": str(limit)}
        else:
            files[f"memory/{folder}/cgroup.procs"] = ""
            text = NONE_V1 if limit == "max" else str(limit)
            files |= {} if limit is None else {f"memory/{folder}/memory.limit_in_bytes": text}
    root = Path(tempfile.mkdtemp())
    try:
        if version == 2:
            tree(root, f"0::/{path}\n", V2_MOUNT, files)
        else:
            tree(root, f"4:memory:/{path}\n0::/\n", None, files)
        expected = min((limit for limit in chain if isinstance(limit, int)), default=None)
        assert Cgroups(root).memory_limit() == expected
    finally:
        shutil.rmtree(root)


def test_version_2(tmp_path: Path) -> None:
    """Limits, the use less idle files, and the quota of a service in a slice."""
    root = tree(
        tmp_path,
        "0::/work.slice/job.service\n",
        V2_MOUNT,
        {
            "work.slice/memory.max": "max",
            "work.slice/memory.high": str(3 * GB),
            "work.slice/memory.current": str(2 * GB),
            "work.slice/cpu.max": "150000 100000",
            "work.slice/job.service/memory.max": str(4 * GB),
            "work.slice/job.service/memory.current": str(GB),
            "work.slice/job.service/memory.stat": f"anon 1\nactive_file 2\ninactive_file {GB // 4}\n",
            "work.slice/job.service/cpu.max": "max 100000",
        },
    )
    groups = Cgroups(root)
    assert groups.memory() == [MemoryGroup(4 * GB, 3 * GB // 4), MemoryGroup(3 * GB, 2 * GB)]
    assert groups.memory_limit() == 3 * GB
    assert groups.cpus() == 1.5
    assert groups.folders[0] == root / "sys/fs/cgroup/work.slice/job.service"


@pytest.mark.parametrize("cpu", ["cpu", "cpu,cpuacct"])
def test_version_1(tmp_path: Path, cpu: str) -> None:
    """Both spellings of the CPU controller; the use less idle files of the group and those in it."""
    mounts = (
        "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        f"33 31 0:30 / /sys/fs/cgroup/{cpu} rw - cgroup cgroup rw,{cpu}\n"
    )
    root = tree(
        tmp_path,
        f"4:memory:/box\n3:{cpu}:/box\n1:name=systemd:/box\n",
        mounts,
        {
            "memory/memory.limit_in_bytes": NONE_V1,
            "memory/box/memory.limit_in_bytes": str(GB),
            "memory/box/memory.usage_in_bytes": str(GB // 2),
            "memory/box/memory.stat": f"inactive_file 5\ntotal_inactive_file {GB // 4}\n",
            f"{cpu}/cpu.cfs_quota_us": "-1",
            f"{cpu}/cpu.cfs_period_us": "100000",
            f"{cpu}/box/cpu.cfs_quota_us": "50000",
            f"{cpu}/box/cpu.cfs_period_us": "100000",
        },
    )
    assert Cgroups(root).memory() == [MemoryGroup(GB, GB // 4)]
    assert Cgroups(root).cpus() == 0.5
    (root / "proc/self/mountinfo").unlink()
    assert Cgroups(root).memory_limit() == GB
    assert Cgroups(root).cpus() == 0.5


def test_both_versions_at_once(tmp_path: Path) -> None:
    """A hybrid machine has its limits in version 1, and an empty version 2 beside it."""
    mounts = (
        "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    files = {"memory/box/memory.limit_in_bytes": str(GB), "unified/box/cgroup.procs": ""}
    assert Cgroups(tree(tmp_path, "4:memory:/box\n0::/box\n", mounts, files)).memory() == [MemoryGroup(GB, None)]


def test_in_a_container(tmp_path: Path) -> None:
    """The path names groups that the container cannot see: its own is where the mount is, with or without a
    namespace."""
    mounts = "30 23 0:26 /docker/c0ffee /sys/fs/cgroup ro - cgroup2 cgroup2 rw"
    files = {"memory.max": str(GB), "memory.current": "7", "inner/memory.max": str(GB // 2)}
    root = tree(tmp_path, "0::/docker/c0ffee/inner\n", mounts, files)
    assert Cgroups(root).memory_limit() == GB // 2
    for path in ("/", "/../../elsewhere", "/kubepods/other"):
        (root / "proc/self/cgroup").write_text(f"0::{path}\n")
        assert Cgroups(root).memory() == [MemoryGroup(GB, 7)]


def test_odd_paths(tmp_path: Path) -> None:
    """A group's name may hold colons and blanks."""
    root = tree(
        tmp_path,
        "0::/a b:c\n",
        r"30 23 0:26 / /sys/fs/cgroup/my\040groups rw - cgroup2 cgroup2 rw",
        {"my groups/a b:c/memory.max": "12345"},
    )
    assert Cgroups(root).memory_limit() == 12345


@pytest.mark.parametrize("cgroup", [None, "", "nonsense\n0::\n", "0::/gone\n"])
def test_nothing_to_be_found_is_no_limit(tmp_path: Path, cgroup: str | None) -> None:
    """Without the files, as on a Mac, there is no limit and no error."""
    groups = Cgroups(tree(tmp_path, cgroup))
    assert (groups.memory(), groups.memory_limit(), groups.cpus(), groups.folders) == ([], None, None, ())


def test_what_cannot_be_read_is_no_limit(tmp_path: Path) -> None:
    """A folder in a file's place, bytes that are no text, and a quota without a period."""
    root = tree(tmp_path, "0::/box\n", V2_MOUNT, {"box/cpu.max": "50000", "box/memory.current": "9" * 5000})
    (root / "sys/fs/cgroup/box/memory.max").mkdir()
    (root / "sys/fs/cgroup/box/memory.high").write_bytes(b"\xff\xfe")
    (root / "sys/fs/cgroup/memory.max").write_text(str(GB))
    (root / "sys/fs/cgroup/cpu.max").write_text("50000 0")
    assert Cgroups(root).memory() == [MemoryGroup(GB, None)]
    assert Cgroups(root).cpus() is None
