"""The rules of the house, checked by walking the syntax trees of the repository's Python files.

A rule yields one line per violation. It is tried on the repository, where it must find nothing, and on two small
examples, one that breaks it and one that keeps it. CONTRIBUTING.md says what the rules are for.
"""

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room may import itself and the rooms of strictly lower levels; of optics, metrics takes the Fourier transforms only.
ROOMS = "optics data/metrics/models losses classical/acquisition figures simulation/methods"
ROOMS += "/training evaluation reconstruction resolution/config/experiments/commands"
LEVELS = {room: level for level, rooms in enumerate(ROOMS.split("/")) for room in rooms.split()}
FREE = ("errors", "random", "version")
ABOVE = ("train", "evaluate", "reconstruct", "configs", "benchmarks", "tests")
# Names of commands that exist elsewhere, and the arrows upwards that they are.
ALIASES = {
    "oidn_jax/metrics/__main__.py": ("oidn_jax.commands.main",),
    "oidn_jax/optics/checks.py": ("oidn_jax.commands.laws", "oidn_jax.commands.inspect"),
}

JAX = ("jax", "jaxlib", "flax", "optax", "orbax", "chex")
# These names of jaxtyping import jax the moment they are looked up.
JAXTYPING = tuple(f"jaxtyping.{name}" for name in ("Array", "ArrayLike", "PRNGKeyArray", "DTypeLike", "PyTree"))
FLAGS = ("absl.flags", "absl.app", "ml_collections", "argparse")
DEVICES = "pmap devices local_devices device_count local_device_count process_index process_count distributed shard_map"
DEVICES = (*(f"jax.{name}" for name in DEVICES.split()), "jax.experimental.shard_map")
FFTS = ("jax.numpy.fft", "jax.scipy.fft", "jax.lax.fft", "numpy.fft", "scipy.fft", "scipy.fftpack")
NEEDS_UNIT = re.compile(r"(^|_)(wavelength|pixel_size|time_interval|duration)s?$")
# Spelled in pieces, so that this file keeps its own rule. One file may name what stands beside the checkout.
MACHINE_PATHS = ("/" + "work/", "/" + "root/", ".." + "/shared")
BESIDE = {".ci/run": MACHINE_PATHS[2:]}


@dataclass(frozen=True)
class Source:
    """One text file: its path from the root of the repository, with forward slashes, and its content."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.path)

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The dotted name of the module, in parts; a package is named without `__init__`."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts

    @cached_property
    def top(self) -> str:
        """The room of a file in the package, "" for the package's own `__init__`; elsewhere the folder or script."""
        return self.parts[0] if self.parts[0] != "oidn_jax" else self.parts[1] if len(self.parts) > 1 else ""

    @cached_property
    def in_package(self) -> bool:
        return self.parts[0] == "oidn_jax" and self.path.endswith(".py")

    def at(self, node: ast.AST, text: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {text}"


def imports(source: Source, root: ast.AST | None = None) -> Iterator[tuple[ast.AST, str]]:
    """The absolute dotted name of everything imported, inside functions too: `from a import b` gives `a.b`."""
    for node in ast.walk(root or source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node, name) for name in _imported(source, node).values())
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield from ((node, word.value) for word in node.args if isinstance(word, ast.Constant))


def _imported(source: Source, node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """What the statement binds: local name to absolute dotted name."""
    if isinstance(node, ast.Import):
        return {n.asname or n.name: n.name for n in node.names}
    package = source.parts if source.path.endswith("/__init__.py") else source.parts[:-1]
    base = package[: len(package) - node.level + 1] if node.level else ()
    return {n.asname or n.name: ".".join((*base, *filter(None, [node.module]), n.name)) for n in node.names}


def uses(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Everything imported, and every attribute of something imported, by its absolute dotted name."""
    yield from imports(source)
    nodes, bound = list(ast.walk(source.tree)), {}
    for node in nodes:
        for local, name in _imported(source, node).items() if isinstance(node, ast.Import | ast.ImportFrom) else ():
            root = local.split(".")[0]  # `import jax.numpy` binds jax
            bound[root] = name if local == root else root
    for node in nodes:
        root, _, rest = ast.unparse(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        if root in bound:
            yield node, f"{bound[root]}.{rest}"


def within(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def names(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every parameter, variable, field and alias that the file defines."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.arg | ast.alias):
            yield node, node.arg if isinstance(node, ast.arg) else node.asname or ""
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node, node.id


def imports_point_downwards(source):
    if source.in_package and source.top not in (*LEVELS, *FREE, ""):
        yield f"{source.path}: {source.top} is not a room"
    elif source.in_package and source.top:
        yield from (source.at(node, name) for node, name in imports(source) if _upwards(source, name))


def _upwards(source: Source, name: str) -> bool:
    top, *rest = [*name.split("."), ""]
    if top != "oidn_jax" or rest[0] in FREE or within(name, ALIASES.get(source.path, ())):
        return top in ABOVE
    if (source.top, name) == ("commands", "oidn_jax.load"):  # what users call, commands call
        return False
    if source.top == "metrics" and rest[0] == "optics":
        return rest[1] != "fourier"
    return rest[0] != source.top and LEVELS.get(rest[0], 99) >= LEVELS.get(source.top, 0)


def the_root_is_lazy(source):
    for node in source.tree.body if source.in_package and source.top == "" else ():
        if not isinstance(node, ast.FunctionDef) and not ast.unparse(node).startswith("if TYPE_CHECKING"):
            eager = [name for _, name in imports(source, node) if name.startswith("oidn_jax.")]
            yield from (source.at(node, name) for name in eager if name.split(".")[1] not in FREE)


def some_things_have_one_place(source):
    """Flags in commands, devices in one file, Fourier transforms in one file; data is numpy only."""
    forbidden = JAX + JAXTYPING if source.in_package and source.top == "data" else ()
    forbidden += FLAGS if source.in_package and source.top not in ("commands", "config") else ()
    forbidden += FFTS if source.in_package and source.path != "oidn_jax/optics/fourier.py" else ()
    if source.top not in ("tests", "benchmarks") and source.path != "oidn_jax/training/parallel.py":
        forbidden += DEVICES
    yield from (source.at(node, name) for node, name in uses(source) if within(name, forbidden))


def the_library_speaks_of_no_flag(source):
    if source.in_package and source.top not in ("commands", "config", "errors") and source.path not in ALIASES:
        words = [(node, str(node.value)) for node in ast.walk(source.tree) if isinstance(node, ast.Constant)]
        flags = [(node, re.search(r"(?<![\w!-])--[a-z][\w-]*", text)) for node, text in words]
        yield from (source.at(node, f"{flag[0]}: name the setting in backticks") for node, flag in flags if flag)


def names_say_what_they_are(source):
    """`key`, never `rng`; a number with a unit has it in its name; no variable is a word of grammar."""
    for node, name in names(source):
        rng = source.in_package and isinstance(node, ast.arg) and name == "rng"
        if rng or name in ("of", "how", "found", "said") or (source.in_package and NEEDS_UNIT.search(name)):
            yield source.at(node, name)


def one_class_per_name(sources):
    homes = defaultdict(list)
    for source in sources:
        for node in ast.walk(source.tree) if source.in_package else ():
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(f"{source.path}:{node.lineno}")
    yield from (f"{name}: {', '.join(places)}" for name, places in homes.items() if len(places) > 1)


def the_readme_names_the_other_oidn(sources):
    first = next((source.text.partition("\n")[0] for source in sources if source.path == "README.md"), "")
    yield from [] if "Intel Open Image Denoise" in first else ["README.md:1: mention Intel Open Image Denoise"]


def no_file_names_a_machine(sources):
    for source in sources:
        paths = [path for path in MACHINE_PATHS if path in source.text and path not in BESIDE.get(source.path, ())]
        yield from (f"{source.path}: {path}" for path in paths)


# Of each rule: the path of an example, a text that breaks the rule, and one that keeps it.
RULES_OF_A_FILE = [
    (imports_point_downwards, "oidn_jax/optics/__init__.py", "def f(): from ..data import mrc", "from .otf import otf"),
    (
        imports_point_downwards,
        "oidn_jax/metrics/a.py",
        "from ..optics import otf",
        "from ..optics.fourier import rfft2",
    ),
    (
        imports_point_downwards,
        "oidn_jax/losses.py",
        "import configs",
        "from .metrics import ssim\nfrom .errors import E",
    ),
    (
        the_root_is_lazy,
        "oidn_jax/__init__.py",
        "from .models import OIDN",
        "if TYPE_CHECKING: from .models import OIDN",
    ),
    (some_things_have_one_place, "oidn_jax/data/a.py", "from jaxtyping import Array", "from jaxtyping import Float"),
    (some_things_have_one_place, "oidn_jax/losses.py", "from ml_collections import A", "from absl import logging"),
    (some_things_have_one_place, "train.py", "import jax as j\nj.process_index()", "import jax\njax.device_get(y)"),
    (some_things_have_one_place, "oidn_jax/losses.py", "import jax.numpy\njax.numpy.fft.fft2(x)", "fourier.fft2(x)"),
    (the_library_speaks_of_no_flag, "oidn_jax/losses.py", 'raise E(f"{a}; give --name")', 'E("<!--a-->; give `name`")'),
    (names_say_what_they_are, "oidn_jax/losses.py", "f = lambda rng: 1", "f = lambda key: 1"),
    (names_say_what_they_are, "oidn_jax/losses.py", "class A: pixel_size: float", "def f(pixel_size_nm): pass"),
    (names_say_what_they_are, "tests/test_a.py", "[how for how in x]", "x = Panel.of(found=1)"),
]
RULES_OF_ALL_FILES = [
    (one_class_per_name, "oidn_jax/losses.py", "class A: pass\nclass A: pass", "class A: pass\nclass B(A): pass"),
    (the_readme_names_the_other_oidn, "README.md", "# oidn_jax", "# oidn_jax (not Intel Open Image Denoise)"),
    (no_file_names_a_machine, "docs/a.md", f"see {MACHINE_PATHS[0]}x", "see runs/x"),
]


def violations(rule, sources: Sequence[Source]) -> list[str]:
    if any(rule is each for each, *_ in RULES_OF_ALL_FILES):
        return list(rule(sources))
    return [line for source in sources if source.path.endswith(".py") for line in rule(source)]


@pytest.fixture(scope="module")
def repository():
    """Every text file that git tracks, or would track after `git add --all`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    contents = {path: (ROOT / path).read_bytes() for path in sorted(set(listed)) if (ROOT / path).is_file()}
    return [Source(path, content.decode()) for path, content in contents.items() if b"\0" not in content]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, *_ in (*RULES_OF_A_FILE, *RULES_OF_ALL_FILES)))
def test_the_repository_keeps(rule, repository):
    problems = violations(rule, repository)
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(("rule", "path", "broken", "kept"), [*RULES_OF_A_FILE, *RULES_OF_ALL_FILES])
def test_the_rules_find(rule, path, broken, kept):
    assert violations(rule, [Source(path, broken)])
    assert not violations(rule, [Source(path, kept)])


def test_importing_data_loads_no_jax():
    """The rule above sees our own imports only; this one also sees what the libraries and the package's root import."""
    modules = [f"oidn_jax.data.{path.stem}" for path in (ROOT / "oidn_jax/data").glob("*.py")]
    program = f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\nprint(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "oidn_jax.data" in run.stdout.split()
    assert not set(run.stdout.split()) & set(JAX)


def test_the_citation_has_the_version_of_the_package():
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "oidn_jax/version.py").read_text(), re.MULTILINE)
    assert version
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()
