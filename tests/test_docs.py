"""README.md and docs/*.md keep their word: python blocks run, commands of console blocks parse, and the cheap ones run.

A block says by its language what it is:

- `python`: run, all blocks of a file in one namespace, in a folder that has the files below. A block after the comment
  `<!-- not run: WHY -->` is only compiled.
- `console`: each line after `$ ` is a command (a backslash continues it); the other lines are its output.
- any other language, as `text`: shown only. A block must have one, or it would escape.

The folder has `cell.tif` and `cell.mrc` (raw frames), `image.tif`, `first.tif` and `second.tif` (super-resolved images
of one object), and `runs/demo` (a network).
"""

import importlib.util
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import tifffile

from oidn_jax.commands.main import COMMANDS
from oidn_jax.data import write_priism, write_raw_tiff
from oidn_jax.models.weights import write_model
from oidn_jax.optics.microscope import Microscope
from tests.methods.fakes import untrained
from tests.metrics import recipes

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n)?```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ALIASES = {"oidn_jax.metrics": "measure", "oidn_jax.optics.checks": "laws"}
SCRIPTS = {"train.py": "train", "evaluate.py": "evaluate", "reconstruct.py": "reconstruct"}
RUN = ("inspect", "measure")
OF_THE_SHELL = ("cd", "git", "pip", "source")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(text, language):
    """Source and line number of each block in a language, and whether it is to be run."""
    for match in BLOCK.finditer(text):
        if match[2].strip() == language:
            yield match[3], text[: match.start(3)].count("\n"), match[1] is None


def commands(text):
    """The words of each command in the console blocks of a page."""
    for block, _, _ in blocks(text, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield shlex.split(line[2:], comments=True)


@pytest.fixture
def folder(tmp_path, golden, monkeypatch):
    """The folder in which a reader tries the page."""
    raw = golden("sim_acquisition_crop")["raw_mid"]
    write_raw_tiff(tmp_path / "cell.tif", raw, pixel_size_nm=62.6)
    write_priism(tmp_path / "cell.mrc", raw, pixel_size_nm=62.6)
    images = {"image.tif": recipes.synth1a(), "first.tif": recipes.synth1a(), "second.tif": recipes.synth1b()}
    for name, image in images.items():
        tifffile.imwrite(tmp_path / name, image[:128, :128])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pages
def test_every_block_has_a_language(page):
    bare = [match[3].partition("\n")[0] for match in BLOCK.finditer(page.read_text()) if not match[2].strip()]
    assert not bare


@pages
def test_python_blocks_run(page, folder):
    text = page.read_text()
    if "runs/demo" in "".join(source for source, *_ in blocks(text, "python")):
        write_model(folder / "runs" / "demo", untrained(microscope=Microscope()))
    namespace = {"__name__": "__main__"}
    for source, line, is_run in blocks(text, "python"):
        code = compile("\n" * line + source, str(page), "exec")  # so that a traceback has the page's line
        if is_run:
            exec(code, namespace)


@pages
def test_commands_parse_and_the_cheap_ones_run(page, folder, monkeypatch):
    for words in commands(page.read_text()):
        command, arguments = understood(words)
        if command is None:
            continue
        with monkeypatch.context() as patch:
            if command not in RUN:
                patch.setattr(f"oidn_jax.commands.{command}.run", lambda body, **options: None)
            assert exit_code(command, arguments) == 0, shlex.join(words)


def exit_code(command, arguments):
    try:
        import_module(f"oidn_jax.commands.{command}").main(arguments)
    except SystemExit as end:
        return end.code or 0
    return 0


def understood(words):
    """The command of ours and its arguments; None for a command that needs no more than to exist."""
    first, *rest = words
    if first == "oidn-jax":
        assert rest[0] in (*COMMANDS, "--help", "--version"), words
        return (rest[0], rest[1:]) if rest[0] in COMMANDS else (None, [])
    if first.startswith("python") and rest[0] in SCRIPTS:
        return SCRIPTS[rest[0]], rest[1:]
    if first.startswith("python") and rest[0] == "-m" and rest[1] in ALIASES:
        return ALIASES[rest[1]], rest[2:]
    if first.startswith("python") and rest[0] == "-m":
        assert importlib.util.find_spec(rest[1]), words
    elif first == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in rest if "=" not in word} <= set(targets), words
    else:
        assert first.removeprefix(".venv/bin/") in (*OF_THE_SHELL, "ruff", "pre-commit"), words
    return None, []


def test_a_command_that_is_not_there_is_seen(folder):
    lines = [
        "```console",
        "$ oidn-jax measure image.tif \\",
        "    --json",
        "{...}",
        "$ oidn-jax mesure image.tif",
        "```",
    ]
    right, wrong = commands("\n".join(lines))
    assert understood(right) == ("measure", ["image.tif", "--json"])
    with pytest.raises(AssertionError):
        understood(wrong)
    assert exit_code("measure", ["image.tif", "--jason"]) == 2
