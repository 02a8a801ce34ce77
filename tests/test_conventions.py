"""The rules of the house, checked by walking the syntax trees of the repository's Python files.

A rule is a function that takes sources and returns one line per violation. Every rule is tested three times: on the
repository, where it must find nothing; on small examples that break it (`BROKEN`), which it must find; and on small
examples that keep it (`KEPT`), where it must be silent. CONTRIBUTING.md says what the rules are for.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "oidn_jax"
SCRIPTS = ("train.py", "evaluate.py", "reconstruct.py")
SCRIPT_NAME = "__main__.py"  # of a script inside the package, for `python -m`

# A room may import itself and the rooms of strictly lower levels.
LEVELS = {
    "optics": 0,
    "data": 0,
    "metrics": 1,  # of optics only the Fourier transforms
    "models": 2,
    "losses": 2,
    "classical": 2,
    "simulation": 3,  # its targets may be classical reconstructions
    "training": 4,
    "evaluation": 4,
    "reconstruction": 4,
    "interop": 4,
}
# What stands above the package; nothing in the package may know it.
ABOVE = {"train", "evaluate", "reconstruct", "configs", "benchmarks", "tests"}

JAX_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax", "chex")
# These names of jaxtyping import jax the moment they are looked up.
JAXTYPING_NAMES_OF_JAX = ("Array", "ArrayLike", "PRNGKeyArray", "DTypeLike", "PyTree", "PyTreeDef")
FLAG_PACKAGES = ("absl.flags", "absl.app", "ml_collections", "argparse")
DEVICE_FILE = f"{PACKAGE}/training/parallel.py"
DEVICE_NAMES = (
    "jax.pmap",
    "jax.devices",
    "jax.local_devices",
    "jax.device_count",
    "jax.local_device_count",
    "jax.process_index",
    "jax.process_count",
    "jax.distributed",
    "jax.shard_map",
    "jax.experimental.shard_map",
)
FFT_FILE = f"{PACKAGE}/optics/fourier.py"
FFT_NAMES = (
    "jax.numpy.fft",
    "jax.scipy.fft",
    "jax.lax.fft",
    "numpy.fft",
    "scipy.fft",
    "scipy.fftpack",
    "scipy.signal.fftconvolve",
)

MOST_POSITIONAL = 3
MOST_LINES_OF_SCRIPT = 59
MOST_LINES_OF_FILE = 300
MOST_LINES_OF_FUNCTION = 50
LONG_FUNCTIONS = {(f"{PACKAGE}/training/loop.py", "train")}

# Spelled in pieces, so that this file does not break its own rule. One file may name what stands beside the checkout.
MACHINE_PATHS = ("/" + "work/", "/" + "root/", ".." + "/shared")
MACHINE_PATHS_ALLOWED = {".ci/run": {".." + "/shared"}}

Function = ast.FunctionDef | ast.AsyncFunctionDef


# ---------------------------------------------------------------------------------------------------------------------
# Sources
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """One text file: its path from the root of the repository, with forward slashes, and its content."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of a Python file."""
        return ast.parse(self.text, filename=self.path)

    @property
    def parts(self) -> tuple[str, ...]:
        """The dotted name of the module, in parts; a package is named without `__init__`."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts

    @property
    def room(self) -> str | None:
        """The room of a file in the package; None outside the package and for the package's own `__init__`."""
        return self.parts[1] if self.in_package and len(self.parts) > 1 else None

    @property
    def in_package(self) -> bool:
        """Whether the file belongs to the package."""
        return self.parts[:1] == (PACKAGE,)

    @property
    def is_script(self) -> bool:
        """Whether the file is a script: flags in, exit code out, above everything else and imported by nobody."""
        return self.path in SCRIPTS or PurePosixPath(self.path).name == SCRIPT_NAME

    @property
    def in_tests(self) -> bool:
        """Whether the file is a test or helps tests."""
        return self.parts[:1] == ("tests",)


def repository_files() -> list[Source]:
    """Every text file that git tracks, or would track after `git add --all`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    sources = []
    for path in sorted(set(filter(None, listed.split("\0")))):
        file = ROOT / path
        if not file.is_file():  # deleted, and the deletion not yet added
            continue
        content = file.read_bytes()
        if b"\0" not in content:
            sources.append(Source(path, content.decode("utf-8", errors="replace")))
    return sources


@pytest.fixture(scope="module")
def repository() -> list[Source]:
    """Every text file of the repository."""
    return repository_files()


def python_files(sources: Sequence[Source]) -> list[Source]:
    """The Python files among the sources."""
    return [source for source in sources if source.path.endswith(".py")]


def package_files(sources: Sequence[Source]) -> list[Source]:
    """The Python files of the package among the sources."""
    return [source for source in python_files(sources) if source.in_package]


def imports(source: Source, root: ast.AST | None = None) -> Iterator[tuple[int, str]]:
    """The line and the absolute dotted name of everything imported, inside functions too.

    `from a import b` gives `a.b`, whether b is a module or a name in one. `import_module("a.b")` gives `a.b`.
    """
    for node in ast.walk(root or source.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield node.lineno, f"{_origin(source, node)}.{name.name}"
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rsplit(".", maxsplit=1)[-1]
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def _origin(source: Source, node: ast.ImportFrom) -> str:
    """The absolute name of the module that a `from ... import` names."""
    if node.level == 0:
        return node.module or ""
    package = source.parts if source.path.endswith("/__init__.py") else source.parts[:-1]
    base = package[: len(package) - (node.level - 1)]
    return ".".join((*base, *filter(None, [node.module])))


def uses(source: Source) -> Iterator[tuple[int, str]]:
    """The line and the absolute dotted name of everything imported, and of every attribute of something imported."""
    yield from imports(source)
    aliases = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                aliases[name.asname or name.name.split(".")[0]] = name.name if name.asname else name.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                aliases[name.asname or name.name] = f"{_origin(source, node)}.{name.name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            root, *rest = ast.unparse(node).split(".")
            if root in aliases:
                yield node.lineno, ".".join((aliases[root], *rest))


def within(name: str, packages: Sequence[str]) -> bool:
    """Whether a dotted name is one of the packages or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def found(source: Source, names: Iterator[tuple[int, str]], forbidden: Sequence[str], why: str) -> list[str]:
    """One line per line of the source where a forbidden name occurs."""
    lines = {line: name for line, name in names if within(name, forbidden)}
    return [f"{source.path}:{line}: {name}: {why}" for line, name in sorted(lines.items())]


def public_definitions(source: Source) -> Iterator[tuple[Function | ast.ClassDef, ast.ClassDef | None]]:
    """Public functions and classes at the top of a module, and the methods of those classes with their class.

    Methods are public when their name has no leading underscore; of the special methods only `__call__` is.
    """
    for node in source.tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node, None
            for member in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(member, Function) and (not member.name.startswith("_") or member.name == "__call__"):
                    yield member, node


# ---------------------------------------------------------------------------------------------------------------------
# Rules
# ---------------------------------------------------------------------------------------------------------------------


def the_package_has_files(sources: Sequence[Source]) -> list[str]:
    """There is something to check: a repository without the package would pass every other rule."""
    files = {source.path for source in package_files(sources)}
    return [] if f"{PACKAGE}/__init__.py" in files and len(files) > 1 else [f"{PACKAGE}/ has no modules"]


def imports_point_downwards(sources: Sequence[Source]) -> list[str]:
    """A room imports itself and rooms of lower levels; never the package's root, the scripts or the configs."""
    problems = []
    for source in package_files(sources):
        if source.room is None or source.is_script:
            continue
        if source.room not in LEVELS:
            problems.append(f"{source.path}: {source.room} is not a room; the rooms are {', '.join(LEVELS)}")
            continue
        for line, name in imports(source):
            problem = _wrong_import(source.room, name)
            if problem:
                problems.append(f"{source.path}:{line}: {problem}")
    return problems


def _wrong_import(room: str, name: str) -> str | None:
    top, *rest = name.split(".")
    if top in ABOVE:
        return f"the package must not know {top}, which stands above it"
    if top != PACKAGE or rest == ["__version__"]:
        return None
    other = rest[0] if rest else None
    if other not in LEVELS:
        return f"{name} is not in a room: import from the room that defines it"
    if room == "metrics" and other == "optics" and rest[1:2] != ["fourier"]:
        return f"metrics stands by itself and takes of optics only fourier, not {name}"
    if other != room and LEVELS[other] >= LEVELS[room]:
        return f"{room} (level {LEVELS[room]}) must not import {other} (level {LEVELS[other]})"
    return None


def the_root_is_lazy(sources: Sequence[Source]) -> list[str]:
    """`oidn_jax/__init__.py` imports rooms inside functions only (or for type checkers), so importing it is cheap."""
    problems = []
    for source in package_files(sources):
        if source.parts == (PACKAGE,):
            for node in _executed_on_import(source.tree.body):
                problems += [
                    f"{source.path}:{line}: {name}: import it inside a function"
                    for line, name in imports(source, node)
                    if within(name, (PACKAGE,))
                ]
    return problems


def _executed_on_import(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _executed_on_import(node.orelse)
        elif not isinstance(node, Function):
            yield node


def data_never_imports_jax(sources: Sequence[Source]) -> list[str]:
    """Readers and loaders are numpy only: loader processes start fast and never take hold of a device."""
    forbidden = (*JAX_PACKAGES, *(f"jaxtyping.{name}" for name in JAXTYPING_NAMES_OF_JAX))
    problems = []
    for source in package_files(sources):
        if source.room == "data" and not source.is_script:
            problems += found(source, uses(source), forbidden, "the data room is numpy only")
    return problems


def flags_stay_outside_the_package(sources: Sequence[Source]) -> list[str]:
    """Flags and ConfigDicts live in configs/, the scripts and benchmarks/: the package takes plain typed values."""
    problems = []
    for source in package_files(sources):
        if not source.is_script:
            problems += found(source, uses(source), FLAG_PACKAGES, "only in configs/, benchmarks/ and the scripts")
    return problems


def nobody_imports_a_script(sources: Sequence[Source]) -> list[str]:
    """What others need of a script belongs in a room: a script may import anything because nothing imports it."""
    scripts = [PurePosixPath(path).stem for path in SCRIPTS]
    problems = []
    for source in python_files(sources):
        for line, name in imports(source):
            if within(name, scripts) or PurePosixPath(SCRIPT_NAME).stem in name.split("."):
                problems.append(f"{source.path}:{line}: {name}: a script is imported by nobody")
    return problems


def devices_are_handled_in_one_file(sources: Sequence[Source]) -> list[str]:
    """Only `training/parallel.py` knows devices and processes; benchmarks and tests are free."""
    problems = []
    for source in python_files(sources):
        if source.path != DEVICE_FILE and not source.in_tests and source.parts[0] != "benchmarks":
            problems += found(source, uses(source), DEVICE_NAMES, f"only in {DEVICE_FILE}")
    return problems


def fourier_transforms_have_one_convention(sources: Sequence[Source]) -> list[str]:
    """In the package only `optics/fourier.py` calls an FFT, so centring and scaling are decided once."""
    problems = []
    for source in package_files(sources):
        if source.path != FFT_FILE:
            problems += found(source, uses(source), FFT_NAMES, f"only in {FFT_FILE}")
    return problems


def everything_public_has_a_docstring(sources: Sequence[Source]) -> list[str]:
    """Modules (tests too), public functions, classes and methods (not in tests) say what they do.

    `__call__` needs a docstring as well, linen's `setup` does not; an overload is described by its implementation.
    A file without any statement needs none.
    """
    problems = []
    for source in python_files(sources):
        if source.tree.body and ast.get_docstring(source.tree) is None:
            problems.append(f"{source.path}:1: the module has no docstring")
        for node, owner in [] if source.in_tests else public_definitions(source):
            if ast.get_docstring(node) is None and not _needs_no_docstring(node, owner):
                problems.append(f"{source.path}:{node.lineno}: {node.name} has no docstring")
    return problems


def _needs_no_docstring(node: Function | ast.ClassDef, owner: ast.ClassDef | None) -> bool:
    decorators = {ast.unparse(decorator).rsplit(".", maxsplit=1)[-1] for decorator in node.decorator_list}
    return (owner is not None and node.name == "setup") or not decorators.isdisjoint({"overload", "setter"})


def signatures_are_short_and_named(sources: Sequence[Source]) -> list[str]:
    """Public functions and methods of the package: at most 3 positional parameters, defaults on keyword-only ones.

    `self` and `cls` do not count. Special methods are free, `__call__` of linen modules among them: their signatures
    are protocols. So are the fields of dataclasses and linen modules, whose `__init__` is generated.
    """
    problems = []
    for source in package_files(sources):
        for node, owner in public_definitions(source):
            if isinstance(node, ast.ClassDef) or node.name == "__call__":
                continue
            positional = [*node.args.posonlyargs, *node.args.args]
            static = any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list)
            names = [argument.arg for argument in (positional[1:] if owner and not static else positional)]
            where = f"{source.path}:{node.lineno}: {node.name}"
            if len(names) > MOST_POSITIONAL:
                problems.append(f"{where} has {len(names)} positional parameters; make some keyword-only")
            if node.args.defaults:
                defaults = ", ".join(argument.arg for argument in positional[-len(node.args.defaults) :])
                problems.append(f"{where}: {defaults}: a parameter with a default must be keyword-only")
    return problems


def random_keys_are_named_key(sources: Sequence[Source]) -> list[str]:
    """No parameter of the package, and no field of a class, is called `rng`."""
    problems = []
    for source in package_files(sources):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.arg) and node.arg == "rng":
                problems.append(f"{source.path}:{node.lineno}: parameter rng: call it key")
            elif isinstance(node, ast.ClassDef):
                problems += [
                    f"{source.path}:{field.lineno}: field rng: call it key"
                    for field in node.body
                    if isinstance(field, ast.AnnAssign) and ast.unparse(field.target) == "rng"
                ]
    return problems


def files_and_functions_are_short(sources: Sequence[Source]) -> list[str]:
    """Scripts under 60 lines, files of the package at most 300, their functions at most 50 with the docstring."""
    problems = []
    for source in python_files(sources):
        lines = len(source.text.splitlines())
        most = MOST_LINES_OF_SCRIPT if source.is_script else MOST_LINES_OF_FILE if source.in_package else None
        if most is not None and lines > most:
            problems.append(f"{source.path}: {lines} lines, at most {most}")
        for node in ast.walk(source.tree) if source.in_package else []:
            if isinstance(node, Function) and (source.path, node.name) not in LONG_FUNCTIONS:
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES_OF_FUNCTION:
                    where = f"{source.path}:{node.lineno}: {node.name}"
                    problems.append(f"{where}: {lines} lines, at most {MOST_LINES_OF_FUNCTION}")
    return problems


def the_readme_names_the_other_oidn(sources: Sequence[Source]) -> list[str]:
    """The first line of README.md says that this is not Intel Open Image Denoise, which is called OIDN too."""
    for source in sources:
        if source.path == "README.md":
            first = (source.text.splitlines() or [""])[0]
            return [] if "Intel Open Image Denoise" in first else ["README.md:1: mention Intel Open Image Denoise"]
    return ["README.md is missing"]


def no_file_names_a_machine(sources: Sequence[Source]) -> list[str]:
    """The repository works anywhere: no text in it names a folder of the machine that it was written on."""
    problems = []
    for source in sources:
        allowed = MACHINE_PATHS_ALLOWED.get(source.path, set())
        for number, line in enumerate(source.text.splitlines(), start=1):
            problems += [
                f"{source.path}:{number}: {text}" for text in MACHINE_PATHS if text in line and text not in allowed
            ]
    return problems


Rule = Callable[[Sequence[Source]], list[str]]
RULES: list[Rule] = [
    the_package_has_files,
    imports_point_downwards,
    the_root_is_lazy,
    data_never_imports_jax,
    flags_stay_outside_the_package,
    nobody_imports_a_script,
    devices_are_handled_in_one_file,
    fourier_transforms_have_one_convention,
    everything_public_has_a_docstring,
    signatures_are_short_and_named,
    random_keys_are_named_key,
    files_and_functions_are_short,
    the_readme_names_the_other_oidn,
    no_file_names_a_machine,
]


# ---------------------------------------------------------------------------------------------------------------------
# Examples: (rule, path, content, part of the message)
# ---------------------------------------------------------------------------------------------------------------------

LONG_BODY = "    x = 1\n" * 50

BROKEN: list[tuple[Rule, str, str, str]] = [
    (the_package_has_files, "README.md", "", "no modules"),
    (the_package_has_files, "oidn_jax/__init__.py", "", "no modules"),
    (imports_point_downwards, "oidn_jax/optics/otf.py", "from oidn_jax.models import oidn", "must not import models"),
    (imports_point_downwards, "oidn_jax/optics/otf.py", "from ..metrics import image", "must not import metrics"),
    (imports_point_downwards, "oidn_jax/optics/__init__.py", "from .. import data", "must not import data"),
    (imports_point_downwards, "oidn_jax/optics/__init__.py", "from ..data import mrc", "must not import data"),
    (imports_point_downwards, "oidn_jax/losses.py", "from .models import oidn", "must not import models"),
    (imports_point_downwards, "oidn_jax/models/oidn.py", "import oidn_jax.losses", "must not import losses"),
    (imports_point_downwards, "oidn_jax/training/loop.py", "import oidn_jax.evaluation as e", "must not import"),
    (imports_point_downwards, "oidn_jax/data/mrc.py", "def f():\n    from ..training import step", "mrc.py:2"),
    (imports_point_downwards, "oidn_jax/data/mrc.py", "m = import_module('oidn_jax.models')", "must not import models"),
    (imports_point_downwards, "oidn_jax/metrics/image.py", "from oidn_jax.optics import otf", "only fourier"),
    (imports_point_downwards, "oidn_jax/misc/a.py", "", "misc is not a room"),
    (imports_point_downwards, "oidn_jax/helpers.py", "", "helpers is not a room"),
    (imports_point_downwards, "oidn_jax/training/loop.py", "from oidn_jax import OIDN", "not in a room"),
    (imports_point_downwards, "oidn_jax/training/loop.py", "import oidn_jax", "not in a room"),
    (imports_point_downwards, "oidn_jax/training/loop.py", "from configs import default", "stands above"),
    (imports_point_downwards, "oidn_jax/optics/checks/laws.py", "from configs import default", "stands above"),
    (imports_point_downwards, "oidn_jax/optics/main.py", "from oidn_jax.simulation import pairs", "must not import"),
    (the_root_is_lazy, "oidn_jax/__init__.py", "from oidn_jax.models import OIDN", "inside a function"),
    (the_root_is_lazy, "oidn_jax/__init__.py", "try:\n    from . import models\nfinally:\n    pass", "oidn_jax.models"),
    (data_never_imports_jax, "oidn_jax/data/mrc.py", "import jax.numpy as jnp", "numpy only"),
    (data_never_imports_jax, "oidn_jax/data/mrc.py", "def f():\n    from flax import linen", "mrc.py:2"),
    (data_never_imports_jax, "oidn_jax/data/mrc.py", "from jaxtyping import Array, Float", "jaxtyping.Array"),
    (flags_stay_outside_the_package, "oidn_jax/training/loop.py", "from absl import flags", "absl.flags"),
    (flags_stay_outside_the_package, "oidn_jax/training/loop.py", "from ml_collections import ConfigDict", "scripts"),
    (flags_stay_outside_the_package, "oidn_jax/data/mrc.py", "import argparse as a", "argparse"),
    (flags_stay_outside_the_package, "oidn_jax/optics/main.py", "from absl import flags", "absl.flags"),
    *[
        (nobody_imports_a_script, path, text, "imported by nobody")
        for path, text in [
            ("oidn_jax/optics/checks/laws.py", "from oidn_jax.optics.laws.__main__ import main"),
            ("oidn_jax/optics/checks/laws.py", "def f():\n    from . import __main__"),
            ("oidn_jax/optics/__main__.py", "from .checks.__main__ import main"),
            ("oidn_jax/optics/__init__.py", "m = import_module('oidn_jax.optics.laws.__main__')"),
            ("tests/optics/test_checks.py", "import oidn_jax.optics.laws.__main__ as checks"),
            ("benchmarks/network.py", "from train import main"),
            ("evaluate.py", "import train"),
        ]
    ],
    *[
        (devices_are_handled_in_one_file, path, text, "only in oidn_jax/training/parallel.py")
        for path, text in [
            ("oidn_jax/training/loop.py", "import jax\nn = jax.device_count()"),
            ("oidn_jax/training/loop.py", "import jax as j\nn = j.distributed.initialize()"),
            ("oidn_jax/models/oidn.py", "from jax import pmap as parallel"),
            ("oidn_jax/models/oidn.py", "from jax.experimental.shard_map import shard_map"),
            ("train.py", "import jax\nprint(jax.process_index())"),
            ("oidn_jax/optics/__main__.py", "import jax\nprint(jax.devices())"),
            ("configs/default.py", "def f():\n    from jax import local_devices"),
        ]
    ],
    *[
        (fourier_transforms_have_one_convention, path, text, "only in oidn_jax/optics/fourier.py")
        for path, text in [
            ("oidn_jax/losses.py", "import jax.numpy as jnp\ny = jnp.fft.fft2(x)"),
            ("oidn_jax/losses.py", "import jax\ny = jax.numpy.fft.fft2(x)"),
            ("oidn_jax/losses.py", "from jax import numpy as n\ny = n.fft.fft2(x)"),
            ("oidn_jax/losses.py", "from jax import lax\ny = lax.fft(x, 'FFT', (3,))"),
            ("oidn_jax/metrics/image.py", "from numpy.fft import fft2"),
            ("oidn_jax/metrics/image.py", "import numpy as np\ny = np.fft.fft2(x)"),
            ("oidn_jax/optics/otf.py", "from scipy import fft"),
            ("oidn_jax/optics/checks/__main__.py", "from scipy import fft"),
        ]
    ],
    (everything_public_has_a_docstring, "configs/default.py", "x = 1", "the module"),
    (everything_public_has_a_docstring, "tests/test_a.py", "x = 1", "the module"),
    (everything_public_has_a_docstring, "oidn_jax/losses.py", '"""A."""\ndef f(): pass', "f has"),
    (everything_public_has_a_docstring, "train.py", '"""A."""\ndef main(): pass', "main has"),
    (everything_public_has_a_docstring, "oidn_jax/optics/__main__.py", '"""A."""\ndef main(): pass', "main has"),
    (everything_public_has_a_docstring, "oidn_jax/losses.py", '"""A."""\nclass A: pass', "A has"),
    (
        everything_public_has_a_docstring,
        "oidn_jax/models/a.py",
        '"""A."""\nclass A:\n    """A."""\n    def __call__(self): pass',
        "__call__ has",
    ),
    (signatures_are_short_and_named, "oidn_jax/losses.py", "def f(a, b, c, d): pass", "4 positional"),
    (signatures_are_short_and_named, "oidn_jax/losses.py", "def f(a, b=1): pass", "b: a parameter with a default"),
    (signatures_are_short_and_named, "oidn_jax/losses.py", "class A:\n    def f(self, a=1): pass", "a: a parameter"),
    (
        signatures_are_short_and_named,
        "oidn_jax/losses.py",
        "class A:\n    @staticmethod\n    def f(a, b, c, d): pass",
        "4 positional",
    ),
    (random_keys_are_named_key, "oidn_jax/losses.py", "def _f(*, rng): pass", "parameter rng"),
    (random_keys_are_named_key, "oidn_jax/losses.py", "f = lambda rng: 1", "parameter rng"),
    (random_keys_are_named_key, "oidn_jax/losses.py", "class A:\n    rng: int", "field rng"),
    (files_and_functions_are_short, "train.py", "x = 1\n" * 60, "60 lines, at most 59"),
    (files_and_functions_are_short, "oidn_jax/optics/checks/__main__.py", "x = 1\n" * 60, "60 lines, at most 59"),
    (files_and_functions_are_short, "oidn_jax/losses.py", "x = 1\n" * 301, "301 lines, at most 300"),
    (files_and_functions_are_short, "oidn_jax/losses.py", f"def f():\n{LONG_BODY}", "f: 51 lines"),
    (files_and_functions_are_short, "oidn_jax/training/loop.py", f"def f():\n{LONG_BODY}", "f: 51 lines"),
    (the_readme_names_the_other_oidn, "README.md", "# oidn_jax\nIntel Open Image Denoise", "README.md:1"),
    (the_readme_names_the_other_oidn, "README.md", "", "README.md:1"),
    (the_readme_names_the_other_oidn, "docs/index.md", "Intel Open Image Denoise", "missing"),
    *[(no_file_names_a_machine, "docs/a.md", f"\nsee {text}x", f"docs/a.md:2: {text}") for text in MACHINE_PATHS],
    (no_file_names_a_machine, ".ci/run", MACHINE_PATHS[0], ".ci/run:1"),
]

KEPT: list[tuple[Rule, str, str]] = [
    (the_package_has_files, "oidn_jax/optics/otf.py", ""),
    (imports_point_downwards, "oidn_jax/models/oidn.py", "from ..optics import fourier\nfrom .layers import Conv"),
    (imports_point_downwards, "oidn_jax/training/loop.py", "from oidn_jax import __version__, losses, models"),
    (imports_point_downwards, "oidn_jax/models/__init__.py", "from .oidn import OIDN\nimport jax"),
    (imports_point_downwards, "oidn_jax/metrics/image.py", "from oidn_jax.optics.fourier import rfft2"),
    (imports_point_downwards, "train.py", "from oidn_jax.training import loop\nfrom configs import default"),
    (imports_point_downwards, "oidn_jax/optics/checks/__main__.py", "import configs\nimport oidn_jax.simulation"),
    (imports_point_downwards, "oidn_jax/__main__.py", "from oidn_jax import OIDN"),
    (the_root_is_lazy, "oidn_jax/__init__.py", "def __getattr__(name):\n    from oidn_jax.models import OIDN"),
    (the_root_is_lazy, "oidn_jax/__init__.py", "import sys\nif TYPE_CHECKING:\n    from .models import OIDN"),
    (the_root_is_lazy, "oidn_jax/models/__init__.py", "from .oidn import OIDN"),
    (data_never_imports_jax, "oidn_jax/data/mrc.py", "import numpy\nfrom jaxtyping import Float"),
    (data_never_imports_jax, "oidn_jax/models/oidn.py", "import jax"),
    (data_never_imports_jax, "oidn_jax/data/__main__.py", "import jax"),
    (flags_stay_outside_the_package, "train.py", "from absl import app, flags"),
    (flags_stay_outside_the_package, "oidn_jax/optics/checks/__main__.py", "from absl import flags\nimport argparse"),
    (flags_stay_outside_the_package, "oidn_jax/training/loop.py", "from absl import logging"),
    (nobody_imports_a_script, "evaluate.py", "from oidn_jax.evaluation.report import evaluate\nimport training"),
    (nobody_imports_a_script, "tests/test_a.py", "import sys\nm = sys.modules['__main__']\nn = __name__ == '__main__'"),
    (devices_are_handled_in_one_file, DEVICE_FILE, "import jax\nf = jax.pmap(g)"),
    (devices_are_handled_in_one_file, "benchmarks/network.py", "import jax\nprint(jax.devices())"),
    (devices_are_handled_in_one_file, "tests/test_a.py", "import jax\nprint(jax.devices())"),
    (devices_are_handled_in_one_file, "oidn_jax/losses.py", "import jax\nx = jax.device_get(y)\nz = state.devices"),
    (fourier_transforms_have_one_convention, FFT_FILE, "import jax.numpy as jnp\ny = jnp.fft.fft2(x)"),
    (fourier_transforms_have_one_convention, "oidn_jax/losses.py", "from .optics import fourier\ny = fourier.fft2(x)"),
    (fourier_transforms_have_one_convention, "tests/test_a.py", "import numpy as np\ny = np.fft.fft2(x)"),
    (everything_public_has_a_docstring, "tests/__init__.py", ""),
    (everything_public_has_a_docstring, "tests/test_a.py", '"""A."""\ndef test_a(): pass'),
    (everything_public_has_a_docstring, "oidn_jax/losses.py", '"""A."""\ndef _f(): pass\nclass _A: pass'),
    (
        everything_public_has_a_docstring,
        "oidn_jax/models/a.py",
        '"""A."""\nclass A:\n    """A."""\n    def setup(self): pass\n    def __len__(self): return 0',
    ),
    (
        signatures_are_short_and_named,
        "oidn_jax/losses.py",
        "def f(a, b, c, *, d=1, e=2): pass\ndef _g(a, b, c, d=1): pass",
    ),
    (signatures_are_short_and_named, "oidn_jax/losses.py", "class A:\n    x: int = 1\n    def f(self, a, b, c): pass"),
    (signatures_are_short_and_named, "oidn_jax/losses.py", "class A:\n    def __call__(self, x, train=False): pass"),
    (random_keys_are_named_key, "oidn_jax/losses.py", "def f(key):\n    rng = 1"),
    (random_keys_are_named_key, "tests/test_a.py", "def f(rng): pass"),
    (files_and_functions_are_short, "train.py", "x = 1\n" * 59),
    (files_and_functions_are_short, "oidn_jax/optics/checks/__main__.py", "x = 1\n" * 59),
    (files_and_functions_are_short, "configs/default.py", "x = 1\n" * 301),
    (files_and_functions_are_short, "oidn_jax/training/loop.py", f"def train():\n{LONG_BODY}"),
    (the_readme_names_the_other_oidn, "README.md", "# oidn_jax (not Intel Open Image Denoise)"),
    (no_file_names_a_machine, ".ci/run", MACHINE_PATHS[2]),
    (no_file_names_a_machine, "docs/a.md", "--workdir=runs/demo"),
]


def _example_ids(examples: Sequence[tuple]) -> list[str]:
    return [f"{example[0].__name__}-{number}" for number, example in enumerate(examples)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps(rule, repository):
    problems = rule(repository)
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(("rule", "path", "text", "message"), BROKEN, ids=_example_ids(BROKEN))
def test_a_broken_rule_is_found(rule, path, text, message):
    problems = rule([Source(path, text)])
    assert any(message in problem for problem in problems), problems


@pytest.mark.parametrize(("rule", "path", "text"), KEPT, ids=_example_ids(KEPT))
def test_a_kept_rule_is_silent(rule, path, text):
    extra = [Source("oidn_jax/__init__.py", "")] if rule is the_package_has_files else []
    assert rule([Source(path, text), *extra]) == []


def test_every_rule_has_examples():
    assert {example[0] for example in BROKEN} == {example[0] for example in KEPT} == set(RULES)


def test_importing_data_loads_no_jax(repository):
    """The rule above sees our own imports only; this one also sees what the libraries and the package's root import."""
    room = [source for source in package_files(repository) if source.room == "data" and not source.is_script]
    modules = [".".join(source.parts) for source in room]
    program = f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert not set(run.stdout.split()) & set(JAX_PACKAGES)


def test_the_citation_has_the_version_of_the_package():
    version = re.search(r'^__version__ = "(.+)"', (ROOT / PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    assert version, "oidn_jax/__init__.py is the single source of the version"
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()
