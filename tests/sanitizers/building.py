"""Builds the native plane once more for each sanitizer, and starts Python with one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

FLAGS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"),
    "thread": ("-fsanitize=thread", "-Wno-tsan"),  # fences, which it does not see: those of our sequence lock
}
LIBRARIES = {"address": "libasan.so", "thread": "libtsan.so"}

AT_START = """
import importlib.util, sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name == "relay.forward._fastpath":
            return importlib.util.spec_from_file_location(name, {module!r})

sys.meta_path.insert(0, Finder)
"""
"""What Python runs before all else (sitecustomize): the plane is this one, and not the installed one."""


@dataclass(frozen=True)
class Build:
    """The plane for one sanitizer. ``site`` is where Python finds ``AT_START``."""

    sanitizer: str
    module: Path
    site: Path

    def python(self, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Runs Python on this plane. What the sanitizer finds is in ``stderr``, and the status is not 0."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.site),
            "PYTHONMALLOC": "malloc",
            "LD_PRELOAD": _compiler_says(f"-print-file-name={LIBRARIES[self.sanitizer]}"),
            "ASAN_OPTIONS": "detect_leaks=0",  # Python frees little of what it has at its end
        }
        # With random addresses as wide as today's kernels choose them, the thread sanitizer finds no room.
        command = ["setarch", "--addr-no-randomize", sys.executable, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
        )


def build(directory: Path) -> dict[str, Build]:
    """All of them, side by side. Raises ``AssertionError`` with what the compiler said."""
    source = directory / "_fastpath.c"
    cython = [sys.executable, "-m", "cython", "-I", str(ROOT / "ext"), "-o", str(source)]
    _finish(_start([*cython, "--module-name=relay.forward._fastpath", str(HERE / "planted.pyx")]))
    include = [f"-I{ROOT / 'ext'}", f"-I{sysconfig.get_path('include')}"]
    compilers, builds = [], {}
    for sanitizer, flags in FLAGS.items():
        one = Build(sanitizer, directory / f"{sanitizer}.so", directory / sanitizer)
        one.site.mkdir()
        (one.site / "sitecustomize.py").write_text(AT_START.format(module=str(one.module)))
        command = [*_compiler(), "-shared", "-fPIC", "-O1", "-g1", *flags, *include, str(source), "-o"]
        compilers.append(_start([*command, str(one.module)]))
        builds[sanitizer] = one
    for compiler in compilers:
        _finish(compiler)
    return builds


def _compiler() -> Sequence[str]:
    """The one that built the installed plane."""
    return str(sysconfig.get_config_var("CC")).split()


def _compiler_says(question: str) -> str:
    return subprocess.run([*_compiler(), question], capture_output=True, text=True, check=True).stdout.strip()


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate()
    assert process.returncode == 0, said
