"""`--config` and its changes: names are never looked for in the current folder, values have the type of their field."""

import pytest
from ml_collections import ConfigDict

from oidn_jax.commands.configuration import add_config, changed_config, parse
from oidn_jax.commands.parser import OneLineParser
from oidn_jax.config import experiment_of
from oidn_jax.errors import InputError


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The current folder, in which every file is a stranger's program."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    for path in ("configs/__init__.py", "configs/default.py", "configs/f_actin.py", "f_actin.py", "default.py"):
        (tmp_path / path).write_text("from pathlib import Path\nPath('executed').touch()\n")
    return tmp_path


@pytest.mark.parametrize("name", ["f_actin", "f_actin:quick", "default", "ccps:quick,560"])
def test_a_name_is_never_looked_for_in_the_current_folder(stranger, name):
    config = changed_config(name, [])
    assert config.name.startswith(name.partition(":")[0])
    assert not (stranger / "executed").exists()


def test_a_file_is_run(stranger):
    (stranger / "mine.py").write_text(
        "from oidn_jax.config import specimen_config\n"
        "def get_config(variant='paper'):\n"
        "    config = specimen_config('er', 'quick')\n"
        "    config.name = f'mine:{variant}'\n"
        "    return config\n"
    )
    assert changed_config("mine.py", []).name == "mine:paper"
    assert changed_config(str(stranger / "mine.py:other"), []).name == "mine:other"
    with pytest.raises(InputError, match=r"`config` is 'configs/f_actin\.py'"):
        changed_config("configs/f_actin.py", [])
    assert (stranger / "executed").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f_aktin", "there are|one of .*f_actin"),
        ("nope.py", "one of .*f_actin"),
        ("f_actin:quik", "'quik'.*paper or quick"),
        ("broken.py", "cannot be loaded: .*invalid syntax"),
        ("empty.py", "cannot be loaded: .*get_config"),
        ("none.py", "does not return a ConfigDict"),
    ],
)
def test_configurations_that_cannot_be_loaded(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("def get_config(:\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "none.py").write_text("def get_config():\n    return None\n")
    with pytest.raises(InputError, match=message) as error:
        changed_config(name, [])
    assert "\n" not in str(error.value)


CHANGES = {
    "train.steps": ("3", 3),
    "train.learning_rate": ("1", 1.0),
    "train.schedule": ("cosine", "cosine"),
    "model.remat": ("true", True),
    "simulation.density": ("(1, 2)", (1, 2)),
    "simulation.mean_photons": ("[5, 10.5]", (5, 10.5)),
    "loss.weights.mse": ("0.5", 0.5),
    "simulation.fluorescence.low": ("(1,)", (1,)),
    "name": ("mine", "mine"),
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_change_has_the_type_of_its_field(field, request):
    text, value = CHANGES[field]
    config = changed_config("f_actin:quick", [(field, text)])
    changed = config
    for part in field.split("."):
        changed = changed[part]
    assert changed == value
    assert type(changed) is type(value)


def test_the_last_of_two_changes_holds():
    assert changed_config("f_actin", [("train.steps", "3"), ("train.steps", "4")]).train.steps == 4


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("train.stepz", "3", "`config.train.stepz`.*'steps'"),
        ("trian.steps", "3", "`config.trian`.*'train'"),
        ("loss.weights.zzz", "1", "`config.loss.weights.zzz`.*mse"),
        ("train.steps.more", "3", "`config.train.steps` .*no section"),
        ("train.steps", "many", "`config.train.steps` is 'many'; .*whole number"),
        ("train.patch", "20.5", "`config.train.patch` is '20.5'; .*whole number"),
        ("train.learning_rate", "fast", "`config.train.learning_rate` is 'fast'; .*number"),
        ("train.learning_rate", "True", "`config.train.learning_rate` is 'True'; .*number"),
        ("model.remat", "perhaps", "`config.model.remat` is 'perhaps'; .*true or false"),
        ("simulation.density", "3", "`config.simulation.density` is '3'; .*sequence"),
        ("train", "3", "`config.train` is a section"),
        ("seed", "1.5", "`config.seed` is '1.5'; .*whole number"),
    ],
)
def test_changes_that_are_wrong(field, text, message):
    with pytest.raises(InputError, match=message) as error:
        changed_config("f_actin:quick", [(field, text)])
    assert len(str(error.value)) < 300


def test_another_network_brings_its_own_fields():
    """Wherever its name stands among the changes."""
    config = changed_config("f_actin:quick", [("model.widths", "(4, 8)"), ("model.name", "unet")])
    assert config.model.to_dict() == {"name": "unet", "widths": (4, 8), "dtype": "float32"}
    assert experiment_of(config).run.loss.weights["psf_energy"] == 0
    with pytest.raises(InputError, match=r"`config\.model\.width`.*'widths'"):
        changed_config("f_actin:quick", [("model.name", "unet"), ("model.width", "8")])
    with pytest.raises(InputError, match=r"'resnet'.*oidn.*unet"):
        changed_config("f_actin:quick", [("model.name", "resnet")])


def parser():
    parser = OneLineParser("test", "a test")
    add_config(parser, what="test")
    parser.add_argument("files", nargs="*")
    return parser


def test_changes_may_stand_anywhere():
    options = parse(parser(), ["a", "--config.train.steps=3", "b", "--config=er", "--config.name=x=y", "c"])
    assert options.files == ["a", "b", "c"]
    assert options.config == "er"
    assert options.changes == [("train.steps", "3"), ("name", "x=y")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config=er", "--config.train.steps", "3"], "--config.train.steps has no value"),
        (["--config.train.steps=3"], "--config"),
        (["--conf=er"], "--conf"),
    ],
)
def test_words_that_are_wrong(capsys, words, message):
    with pytest.raises(SystemExit) as end:
        parse(parser(), words)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_the_configuration_stays_locked():
    config = changed_config("f_actin:quick", [("model.name", "unet")])
    assert isinstance(config, ConfigDict)
    with pytest.raises(AttributeError, match="locked"):
        config.model.stepz = 3
