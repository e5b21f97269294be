"""What was compiled once is not compiled again, and never taken from a file that is damaged or another processor's."""

import json
import os
import subprocess
import sys
import threading
import warnings

import llvmlite.binding as llvm
import pytest
from small_run import furnish

from lnet.dsl.diagnostics import LnetWarning
from lnet.runtime.process import cache, processor
from lnet.runtime.process.cache import OBJECTS, Entries, cache_folder, own_folder

TRAINED = """
import collections, hashlib, json, sys
from jax import monitoring
import lnet
from lnet.runtime.kernels.native import build
counts = collections.Counter()
monitoring.register_event_listener(lambda event, **details: counts.update([event.rpartition("/")[2]]))
compile_code = build._code
build._code = lambda *arguments: counts.update(["objects"]) or compile_code(*arguments)
run = lnet.train(lnet.compile("small.lnet"), directory=sys.argv[1])
weights = hashlib.sha256(b"".join(array.tobytes() for _, array in sorted(run.network().params.items())))
print(json.dumps({**counts, "weights": weights.hexdigest()}))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_said", [])
    return tmp_path / "cache"


def begin(work, name, **environment):
    """Start a process that trains a network, and keeps what it compiles."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    return subprocess.Popen(
        [sys.executable, "-c", TRAINED, name],
        cwd=work,
        env=kept | {"PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    """Return what a process has counted, and what it said."""
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return json.loads(output), errors


def compiled(counts):
    return counts.get("cache_misses", 0), counts.get("objects", 0)


# --- whole runs -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_second_process_compiles_nothing_and_computes_the_same(folder, tmp_path):
    """And a third, of damaged entries, compiles what is damaged, and keeps it again."""
    furnish(tmp_path)
    first, _ = end(begin(tmp_path, "a"))
    second, said = end(begin(tmp_path, "b"))
    assert min(compiled(first)) > 0
    assert compiled(second) == (0, 0)
    assert (second["weights"], said) == (first["weights"], "")
    entries = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(entries):
        data = bytearray(path.read_bytes())
        data[number % len(data)] ^= 1
        path.write_bytes(data[:-1] if number % 2 else data)
    third, said = end(begin(tmp_path, "c"))
    assert compiled(third) == compiled(first)
    assert (third["weights"], said) == (first["weights"], "")
    assert compiled(end(begin(tmp_path, "d"))[0]) == (0, 0)


@pytest.mark.slow
def test_two_processes_that_begin_at_once(folder, tmp_path):
    furnish(tmp_path)
    both = [end(process) for process in [begin(tmp_path, "a"), begin(tmp_path, "b")]]
    assert both[0][0]["weights"] == both[1][0]["weights"]
    assert [said for _, said in both] == ["", ""]
    assert compiled(end(begin(tmp_path, "c"))[0]) == (0, 0)
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.slow
def test_without_a_folder_a_run_goes_on_all_the_same_and_says_so_once(tmp_path):
    furnish(tmp_path)
    counts, said = end(begin(tmp_path, "a", LNET_CACHE=str(tmp_path / "small.lnet")))
    assert min(compiled(counts)) > 0
    assert said.count("what is compiled cannot be kept for later processes: ") == 1
    counts, said = end(begin(tmp_path, "b", LNET_CACHE="off", XDG_CACHE_HOME=str(tmp_path / "none")))
    assert compiled(counts)[1] > 0
    assert said == ""
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "off").exists()


# --- where it is ----------------------------------------------------------------------------------------------------


def test_where_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("LNET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lnet"
    monkeypatch.setenv("LNET_CACHE", str(tmp_path / "named"))
    assert own_folder("objects") == tmp_path / "named" / "objects"
    assert (tmp_path / "named").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("LNET_CACHE", "off")
    OBJECTS.put("key", b"value")
    assert OBJECTS.get("key") is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_into_is_not_used(folder, mode):
    """What lies there would be run."""
    OBJECTS.put("key", b"value")
    folder.chmod(mode)
    assert OBJECTS.get("key") is None
    with pytest.warns(LnetWarning, match="others may write into"):
        OBJECTS.put("key", b"value")
    folder.chmod(0o755)
    assert OBJECTS.get("key") == b"value"


def test_that_nothing_can_be_kept_is_said_once(folder):
    folder.write_text("a file")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for key in "ab":
            OBJECTS.put(key, b"value")
            assert OBJECTS.get(key) is None
    assert len(said) == 1


# --- entries --------------------------------------------------------------------------------------------------------


def the_only_file(folder):
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


@pytest.mark.parametrize("place", [0, 31, 32, 36])
def test_a_damaged_entry_is_none_until_it_is_written_anew(folder, place):
    OBJECTS.put("key", b"value")
    path = the_only_file(folder)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    for damaged in (bytes(data), bytes(data[:place]), b""):
        path.write_bytes(damaged)
        assert OBJECTS.get("key") is None
    OBJECTS.put("key", b"value")
    assert OBJECTS.get("key") == b"value"


def test_an_entry_of_another_processor_is_none_even_under_the_name_of_ours(folder, monkeypatch):
    own = cache.here()
    monkeypatch.setattr(cache, "here", lambda: f"{own}, but for one feature")
    OBJECTS.put("key", b"its code")
    assert OBJECTS.get("key") == b"its code"
    forged = the_only_file(folder)
    monkeypatch.setattr(cache, "here", lambda: own)
    assert OBJECTS.get("key") is None
    forged.rename(forged.with_name(OBJECTS._name("key")))
    assert OBJECTS.get("key") is None


CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
stepping\t: 2
cpu MHz\t\t: 2300.000
flags\t\t: fpu avx2 avx512f

processor\t: 1
flags\t\t: fpu
"""


def test_a_processor_is_its_model_and_its_features(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", file)
    elsewhere = processor.processor()
    assert elsewhere[0] == llvm.get_host_cpu_name()
    file.write_text(CPUINFO)
    assert processor.processor() == ("GenuineIntel", "6", "207", "2", "fpu avx2 avx512f")
    file.write_text(CPUINFO.replace("2300", "800"))
    assert processor.processor()[-1] == "fpu avx2 avx512f"
    file.write_text("processor\t: 0\nisa\t: rv64imafdc\n")
    assert processor.processor() == elsewhere


def test_an_entry_under_the_name_of_another_is_none(folder):
    OBJECTS.put("one", b"value")
    the_only_file(folder).rename(folder / "objects" / OBJECTS._name("other"))
    assert OBJECTS.get("other") is None


def test_many_that_write_and_read_one_entry_see_all_of_it(folder):
    value = os.urandom(100_000)
    OBJECTS.put("key", value)
    found = []

    def use():
        for _ in range(30):
            OBJECTS.put("key", value)
            found.append(OBJECTS.get("key") == value)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 120


def test_those_that_were_not_used_for_longest_make_way(folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 11_000)
    monkeypatch.setattr(cache, "SLACK", 1_000)
    programs, objects = Entries("programs"), Entries("objects")
    for number in range(9):
        (programs if number % 2 else objects).put(str(number), bytes(1_000))
        path = folder / ("programs" if number % 2 else "objects") / objects._name(str(number))
        os.utime(path, (number, number))
    assert objects.get("0") is not None  # used now
    for number in range(9, 12):
        objects.put(str(number), bytes(1_000))
    left = [n for n in range(12) if (folder / "objects" / objects._name(str(n))).exists()]
    left += [n for n in range(12) if (folder / "programs" / objects._name(str(n))).exists()]
    assert sorted(left) == [0, 4, 5, 6, 7, 8, 9, 10, 11]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 11_000
