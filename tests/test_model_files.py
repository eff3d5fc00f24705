"""Models in files: the same after load, and every file that is none is refused by name."""

import copy
import os
import pickle
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from model_parts import array_of, assemble, item, members, npy, parts, put, sign, write
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from pixelflow import (
    LogisticReadout,
    Probe,
    ReservoirClassifier,
    ReservoirConfig,
    ReservoirRegressor,
    RidgeReadout,
)
from pixelflow.core import rule
from pixelflow.models import archive

RNG = np.random.default_rng(0)
X = RNG.random((60, 36), dtype=np.float32)
VALUES = X[:, :18].sum(axis=1) - X[:, 18:].sum(axis=1)
LABELS = np.digitize(VALUES, [-1, 1])
PROBE = Probe(snapshots=(0, 2), rectify=True, threshold={"quantile": 0.3}, pool=2)
PLAIN = ReservoirConfig(6, 6, 4, 2, rule="wave", input_encoding="image", probe=PROBE)
MEDIA = ReservoirConfig(
    *(6, 5, 2, 1),
    rule="test_media",
    rule_params={"rate": RNG.normal(size=3)},
    members=3,
    medium={"speed": RNG.random((5, 6)), "source": {"uniform": [0, 1]}},
)
FILTERS = ReservoirConfig(
    *(6, 6, 4, 2),
    rule="coupled",
    rule_params={"k": 3},
    input_encoding="patches",
    encoder_params={"k": 3, "samples": 100},
    members=2,
    probe=PROBE,
)
READOUTS = [
    None,
    RidgeReadout([0.1, 1.0], class_weight={0: 2.0}),
    RidgeReadout(np.array([0.5])),
]


def classifier(config=PLAIN, readout=None, y=LABELS, **options):
    return ReservoirClassifier(config, readout, backend="cpu", **options).fit(X, y)


@pytest.fixture(scope="module")
def model():
    """A model of two configs, which no test changes."""
    return classifier([PLAIN, MEDIA])


@pytest.fixture
def saved(model, tmp_path):
    """The file of a model, and its model."""
    model.save(tmp_path / "model.npz")
    return tmp_path / "model.npz", model


def same(model, path):
    """The loaded model, which predicts the same bits."""
    loaded = type(model).load(path)
    for method in ("predict", "decision_function", "predict_proba"):
        if hasattr(model, method):
            assert np.array_equal(getattr(loaded, method)(X), getattr(model, method)(X))
    assert loaded.configs == model.configs and loaded.n_features_in_ == 36
    return loaded


@pytest.mark.parametrize("config", [PLAIN, [PLAIN, MEDIA], (MEDIA,), FILTERS])
@pytest.mark.parametrize("readout", [*READOUTS, LogisticReadout(C=0.5)])
def test_a_loaded_model_predicts_the_same_bits(config, readout, tmp_path):
    options = {"batch_size": 7, "augment": {"flip": True}}
    model = classifier(config, readout, **options)
    model.save(tmp_path / "model.npz")
    loaded = same(model, tmp_path / "model.npz")
    assert type(loaded.config) is type(model.config)
    assert loaded.get_params(deep=False) | {"readout": 0} == model.get_params(deep=False) | {
        "readout": 0
    }
    assert repr(loaded.readout) == repr(model.readout)
    assert loaded.fit(X, LABELS).score(X, LABELS) == model.score(X, LABELS)


@pytest.mark.parametrize("y", [LABELS > 0, np.array(["é", "b", "c"])[LABELS], LABELS * 0 + 5])
@pytest.mark.parametrize("readout", [None, LogisticReadout()])
def test_labels_of_every_type_come_back(y, readout, tmp_path):
    for labels in (y, y.astype(object) if y.dtype.kind == "U" else y):
        model = classifier(readout=readout, y=labels)
        model.save(tmp_path / "model.npz")
        loaded = same(model, tmp_path / "model.npz")
        assert loaded.classes_.dtype == model.classes_.dtype


def test_a_regressor_of_several_values_comes_back(tmp_path):
    for y in (VALUES, X[:, :2]):
        model = ReservoirRegressor(PLAIN, backend="cpu").fit(X, y)
        model.save(tmp_path / "model.npz")
        same(model, tmp_path / "model.npz")


def test_what_was_fitted_and_media_come_back_exactly(saved):
    path, model = saved
    loaded = same(model, path)
    assert loaded.reservoirs_[0].threshold_ == model.reservoirs_[0].threshold_
    assert loaded.reservoirs_[0].input_shape_ == (36,)
    for name in ("speed", "source"):
        one, other = (m.config[1].medium[name] for m in (loaded, model))
        assert np.array_equal(one, other) if name == "speed" else one == other
    assert np.array_equal(loaded.config[1].rule_params["rate"], model.config[1].rule_params["rate"])
    with pytest.raises(ValueError, match="start with a clone"):
        loaded.partial_fit(X, LABELS)


def test_keys_of_numpys_types_come_back_plain(tmp_path):
    model = classifier(readout=RidgeReadout(class_weight={np.int64(0): 2.0}))
    model.save(tmp_path / "model.npz")
    assert same(model, tmp_path / "model.npz").readout.class_weight == {0: 2.0}


def test_names_of_columns_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(36)])
    model = ReservoirClassifier(PLAIN, backend="cpu").fit(frame, LABELS)
    model.save(tmp_path / "model.npz")
    loaded = ReservoirClassifier.load(tmp_path / "model.npz")
    assert np.array_equal(loaded.predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[frame.columns[::-1]])
    head, arrays = parts(tmp_path / "model.npz")
    names = "state.fitted.feature_names_in_"
    for other in (arrays[names][1:], np.arange(36), arrays[names].reshape(6, 6)):
        assemble(tmp_path / "model.npz", head, {**arrays, names: other})
        with pytest.raises(ValueError, match=r"feature_names_in_.* (36 strings|not text)"):
            ReservoirClassifier.load(tmp_path / "model.npz")


def test_a_file_is_written_whole_or_not_at_all(saved, monkeypatch):
    path, model = saved
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match=r"can't write .*model\.npz: No space left"):
        model.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["model.npz"]


def test_another_backend_can_take_the_saved_ones_place(saved):
    path, model = saved
    loaded = ReservoirClassifier.load(path, backend="numba")
    assert loaded.backend == "numba" and np.array_equal(loaded.predict(X), model.predict(X))


# -- files that are none -------------------------------------------------------------------------


def test_filters_that_do_not_fit_the_encoder_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    model = classifier(FILTERS)
    encoder = model.reservoirs_[0].encoder_
    kernel = encoder.form.kernel[:1]
    model.reservoirs_[0].encoder_ = replace(encoder, form=replace(encoder.form, kernel=kernel))
    model.save(path)
    with pytest.raises(
        ValueError, match=r"encoder holds float32 \(1, 4, 9\), not float32 \(2, 4, 9"
    ):
        ReservoirClassifier.load(path)


def test_a_truncated_or_damaged_file_is_refused(saved):
    path, _ = saved
    whole = path.read_bytes()
    for stop in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:stop])
        with pytest.raises(ValueError, match=r"model\.npz"):
            ReservoirClassifier.load(path)
    for at in range(0, len(whole), 97):  # one bit turned
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            loaded = ReservoirClassifier.load(path)
        except ValueError as error:
            assert "model.npz" in str(error)
        else:  # a byte without meaning, as a date
            assert loaded.config == [PLAIN, MEDIA]


class Evil:
    def __reduce__(self):
        return pytest.fail, ("code of the file was run",)


def test_no_changed_byte_raises_anything_but_a_value_error(saved):
    """Near the end of the file is what a zip archive's reader goes by."""
    path, model = saved
    whole = path.read_bytes()
    for place in range(len(whole) - 120, len(whole)):
        for value in (0, 255):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                loaded = ReservoirClassifier.load(path)
            except ValueError:
                continue
            assert np.array_equal(loaded.predict(X), model.predict(X))


def test_nothing_of_a_foreign_file_is_run(saved):
    path, _ = saved
    contents = members(path)
    evil = npy(np.array([Evil()], object))
    for data in (pickle.dumps(Evil()), npy(X), b"PK\x03\x04 and so on", b"{}"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"model\.npz is damaged or is not a model file"):
            ReservoirClassifier.load(path)
    for changed, message in (
        ({"model.npy": evil}, "allow_pickle"),
        ({"state.readout_.fitted.coef_.npy": evil}, "allow_pickle"),
        ({"more.npy": npy(X)}, "more"),
        ({"model.py": b"raise SystemExit"}, "unexpected member 'model.py'"),
        ({"model.npy": npy(np.frombuffer(b"[1]", np.uint8))}, "not a pixelflow model"),
        ({"model.npy": npy(np.frombuffer(b"\xff", np.uint8))}, "not a pixelflow model"),
        ({"model.npy": npy(np.zeros(2, complex))}, "complex"),
        ({"state.fitted.classes_.npy": npy(np.zeros(2)) + b"more"}, "has bytes after its array"),
        ({"state.fitted.classes_.npy": npy(np.array([0, 1, 3]))}, "classes_ was changed"),
        ({"state.fitted.classes_.npy": b""}, "model.npz"),
    ):
        write(path, {**contents, **changed})
        with pytest.raises(ValueError, match=message) as raised:
            ReservoirClassifier.load(path)
        assert "model.npz" in str(raised.value)
    write(path, {k: v for k, v in contents.items() if "classes_" not in k})
    with pytest.raises(ValueError, match=r"arrays missing \['state\.fitted\.classes_',"):
        ReservoirClassifier.load(path)
    write(path, contents, compression=zipfile.ZIP_DEFLATED)  # a small file must stay small
    with pytest.raises(ValueError, match="unexpected member"):
        ReservoirClassifier.load(path)
    np.savez(path, a=X)
    with pytest.raises(ValueError, match=r"unexpected member 'a\.npy'"):
        ReservoirClassifier.load(path)
    with pytest.raises(FileNotFoundError):
        ReservoirClassifier.load(path.with_name("none.npz"))


def described(path, change, signed=True):
    """Change the description in a file, and its checksum with it."""
    head, arrays = parts(path)
    change(head)
    if signed:
        sign(head)
    assemble(path, head, arrays, signed=False)


def state(head):
    return dict(head["state"]["mapping"])


@pytest.mark.parametrize(
    ("change", "signed", "message"),
    [
        (lambda head: head.update(schema=2), True, "schema must be 1 for this pixelflow, got 2"),
        (lambda head: head.update(schema=2), False, "schema must be 1 for this pixelflow, got 2"),
        (lambda head: head.update(format="other"), True, "not a pixelflow model"),
        (lambda head: head.update(more=1), False, "description was changed"),
        (lambda head: head.pop("sha256"), False, "description was changed"),
        (lambda head: head.pop("state"), True, "fit together"),
        (lambda head: head.update(state=[[]]), True, "fit together"),
        (lambda head: state(head)["fitted"].update(mapping=[["__class__", 1]]), True, "__class__"),
        (lambda head: state(head)["fitted"].update(mapping=[["predict", 1]]), True, "predict"),
        (lambda head: state(head)["reservoirs"].pop(), True, "fit together|shorter"),
        (lambda head: state(head)["params"].update(mapping=[["x", 1]]), True, "fit together"),
        (lambda head: state(head)["readout_"]["mapping"].pop(), True, "fit together"),
        (lambda head: state(head)["config"].pop(), True, "shorter|longer|fit together"),
    ],
)
def test_a_changed_description_is_refused(saved, change, signed, message):
    path, _ = saved
    described(path, change, signed)
    with pytest.raises(ValueError, match=message) as raised:
        ReservoirClassifier.load(path)
    assert "model.npz" in str(raised.value)


def test_a_readout_that_does_not_go_with_the_features_is_refused(saved, tmp_path):
    path, _ = saved
    narrow = classifier(PLAIN)
    narrow.save(tmp_path / "narrow.npz")
    other = members(tmp_path / "narrow.npz")
    name = "state.readout_.fitted.coef_"

    def swap(head):
        head["arrays"][name] = archive.packing.digest(array_of(other[f"{name}.npy"]))

    contents = members(path)
    write(path, {**contents, f"{name}.npy": other[f"{name}.npy"]})
    described(path, swap)
    with pytest.raises(ValueError, match=r"readout_ must take \d+ features"):
        ReservoirClassifier.load(path)


def test_a_model_is_loaded_by_its_own_class(saved):
    with pytest.raises(ValueError, match="holds a ReservoirClassifier: use ReservoirClassifier"):
        ReservoirRegressor.load(saved[0])


@pytest.fixture
def build(registry):
    """Define a rule of sizes, anew each time."""

    def build(factor=1.0, rate=0.5, reach=1):
        @rule("test_saved", channels=("a",), params={"rate": rate}, sizes={"reach": reach})
        def saved_rule(at, p):
            far = at(0, p.reach, "a") * (factor if p.reach == 1 else 2.0)
            return {"a": far * p.rate}

    build()
    return build


OTHER = "rule 'test_saved' isn't as it was when the model was saved: it may predict otherwise"


def sized(**rule_params):
    return ReservoirConfig(6, 6, 1, 1, rule="test_saved", rule_params=rule_params)


def test_a_rule_has_to_be_registered_and_the_same(tmp_path, registry, build):
    path = tmp_path / "model.npz"
    model = classifier(sized())
    model.save(path)
    build()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(model, path)
    for other in ({"factor": 0.25}, {"rate": 0.25}, {"reach": 2}):
        build(**other)
        with pytest.warns(UserWarning, match="'test_saved' isn't as it was") as said:
            ReservoirClassifier.load(path)
        assert said[0].filename == __file__
    del registry["test_saved"]
    with pytest.raises(ValueError, match=r"model\.npz .*'test_saved' is not registered") as raised:
        ReservoirClassifier.load(path)
    assert "run the code that defines it" in str(raised.value)


def test_a_pickled_rule_that_is_another_one_here_warns(registry, build):
    """In the words in which `load` warns."""
    model = classifier(sized())
    others = [pickle.dumps(one) for one in (model, model.reservoirs_[0], clone(model))]
    apart = pickle.dumps(classifier(sized(reach=2, rate=0.5)))
    before = model.predict(X)
    for change, warns in (({}, False), ({"factor": 0.25}, True), ({"rate": 0.25}, True)):
        build(**change)
        for pickled in others:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                pickle.loads(pickled)
            assert {str(one.message) for one in said} == ({OTHER} if warns else set())
            assert all(one.filename == __file__ for one in said)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pickle.loads(apart)  # of another size, and no default: nothing of it changed
    del registry["test_saved"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, far = pickle.loads(others[0]), pickle.loads(apart)
        assert np.array_equal(found.predict(X), before) and far.predict(X).shape == before.shape
        assert pickle.loads(others[0]).config == sized()


def test_a_rule_that_came_with_a_pickle_gives_way_to_a_later_one(registry, build):
    """A worker that lives on gets the rule that the user has defined anew; earlier models tell."""
    first = pickle.dumps(classifier(sized()))
    build(factor=0.25)
    model = classifier(sized())
    second = pickle.dumps(model)
    del registry["test_saved"]
    pickle.loads(first)
    with pytest.warns(UserWarning, match="models loaded before may predict otherwise"):
        found = pickle.loads(second)
    assert np.array_equal(found.decision_function(X), model.decision_function(X))


def test_a_file_of_an_earlier_version_does_not_warn(tmp_path, build):
    """It has the digest of the rule's program with its defaults, whatever the sizes."""
    model = classifier(sized(reach=2))
    model.save(tmp_path / "model.npz")
    program = archive.named(archive.get_rule("test_saved").program)  # whose literals float32 holds
    described(
        tmp_path / "model.npz",
        lambda head: state(head)["rules"].__setitem__(0, archive.packing.digest(repr(program))),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(model, tmp_path / "model.npz")


NUMBERS = (float("nan"), float("inf"), -1.0, 10**400, "1", None, True, [1.0], {"tuple": []})
COUNTS = (7, 8.0, "8", True, None, -8, 0, 10**9, 10**30, [8])
LABELS_OF_3 = (
    *(np.arange(2), np.arange(4), np.array([0, 0, 1]), np.array([2, 1, 0])),
    *(np.array([0, np.nan, 1]), np.array([0, 1, np.inf]), np.zeros((3, 1), int), 3, [2, 1]),
)
BOTH = {  # of the readouts
    ("coef_",): (np.full((3, 36), np.nan), np.zeros((3, 36), "U3"), np.zeros((3, 35)), np.ones(36)),
    ("intercept_",): (np.array([0, np.inf, 0]), np.zeros(2), np.zeros((3, 1)), 0.0),
    ("classes_",): LABELS_OF_3,
    ("n_features_in_",): COUNTS,
}
LOGISTIC = LogisticReadout()
FITTED = {  # attributes, of whom, and what they never are
    RidgeReadout(): BOTH | {("alpha_",): NUMBERS},
    RidgeReadout([0.1, 1.0]): {("best_score_",): (float("nan"), float("inf"), "1", [1.0], True)},
    LOGISTIC: BOTH
    | {("n_iter_",): (np.array([-1]), np.array([1.5]), np.zeros(2, int), 7, np.zeros((1, 1), int))},
}
REFUSED = [
    (readout, ("readout_", "fitted", *keys), value)
    for readout, several in FITTED.items()
    for keys, values in several.items()
    for value in values
]
OTHERS = {  # of a model with an encoder that learns and with a quantile
    ("fitted", "classes_"): (LABELS_OF_3[0], *LABELS_OF_3[2:]),
    ("fitted", "n_features_in_"): COUNTS,
    ("reservoirs", 0, "n_features_in_"): COUNTS,
    ("reservoirs", 0, "threshold_"): NUMBERS,
    ("reservoirs", 0, "input_shape_"): (
        *(None, 36, "36", [], [0], [36.0], [True], [-6, -6], [6, 7], [6, 6, 1], [3, 4, 3]),
        *([1, 1, 36], [36, 1, 1, 1], {"tuple": []}, {"mapping": []}, [10**9, 10**9]),
    ),
    ("reservoirs", 0, "encoder_", "kernel"): (
        *(np.full((2, 4, 9), np.nan, np.float32), np.zeros((2, 4, 9)), np.zeros((2, 4, 8), "f4")),
        *(np.zeros((2, 36), "f4"), None, [0.0]),
    ),
    ("reservoirs", 0, "encoder_", "bias"): (np.full((2, 4), np.inf, np.float32), np.zeros((2, 4))),
    ("reservoirs", 0, "encoder_"): (None, [], {"mapping": []}, 1.0),
    ("params", "batch_size"): (0, -1, 1.5, "1", [1]),
    ("params", "exact"): (1, "yes", None),
    ("params", "device"): ("0", 1.5, -1),
    ("params", "backend"): (1, "gpu", None, []),
    ("params", "augment"): ([], "flip", {"mapping": [["x", 1]]}, {"mapping": [[1, 1]]}),
    ("readout_", "params", "alpha"): (*NUMBERS[:5], None, [], True),
    ("readout_", "params", "task"): (1, "other", None),
    ("readout_", "class"): (1, "Ridge", None, []),
    ("rules",): ([], None, 1),
}
REFUSED += [(None, keys, value) for keys, values in OTHERS.items() for value in values]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The file of one model with each readout, as its parts."""
    folder, found = tmp_path_factory.mktemp("files"), {}
    for readout in (None, *FITTED):
        config = PLAIN.with_params(probe=Probe(channels=(0,))) if readout else FILTERS
        classifier(config, readout).save(folder / "model.npz")
        found[readout] = parts(folder / "model.npz")
    return found


@pytest.mark.parametrize(("readout", "keys", "value"), REFUSED)
def test_what_no_model_has_learned_is_refused(readout, keys, value, files, tmp_path):
    """All checksums are right."""
    head, arrays = copy.deepcopy(files[readout])
    name = ".".join(map(str, ("state", *keys)))
    if isinstance(value, np.ndarray):
        assert arrays[name].dtype != value.dtype or not np.array_equal(arrays[name], value)
        arrays[name] = value
    else:
        put(head, value, *keys)
    assemble(tmp_path / "model.npz", head, arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"model\.npz can't be loaded"):
            ReservoirClassifier.load(tmp_path / "model.npz")


def test_a_model_of_another_task_is_refused(files, tmp_path):
    """Its class alone was changed: a regressor would predict labels, a classifier values."""
    head, arrays = copy.deepcopy(files[LOGISTIC])
    head["class"] = "ReservoirRegressor"
    put(head, None, "readout")
    item(head["state"], "params")["mapping"][:] = [["backend", "cpu"]]
    assemble(tmp_path / "model.npz", head, arrays)
    with pytest.raises(ValueError, match="readout_ must not have classes_"):
        ReservoirRegressor.load(tmp_path / "model.npz")
    model = ReservoirRegressor(PLAIN, RidgeReadout(), backend="cpu").fit(X, VALUES)
    model.save(tmp_path / "model.npz")
    described(tmp_path / "model.npz", lambda head: head.update({"class": "ReservoirClassifier"}))
    with pytest.raises(ValueError, match="can't be loaded"):
        ReservoirClassifier.load(tmp_path / "model.npz")


def test_what_a_file_could_not_hold_is_not_saved(tmp_path):
    """What `save` writes, `load` reads: its limits hold for both."""
    weights = {f"a label of some length {i}": 1.0 for i in range(40_000)}
    model = classifier()
    model.readout = RidgeReadout(class_weight=weights)
    with pytest.raises(ValueError, match=r"parameters take \d+ bytes, .* 1048576"):
        model.save(tmp_path / "model.npz")
    assert not os.listdir(tmp_path)


# -- paths that name no file -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "error"),
    [
        *((1, TypeError), (0, TypeError), (True, TypeError), (None, TypeError), (b"m", TypeError)),
        *((1.5, TypeError), ([], TypeError), ("a\0b", ValueError), ("", ValueError)),
        ("\ud800", ValueError),
        *((".", IsADirectoryError), ("..", IsADirectoryError), ("/", IsADirectoryError)),
        *(("pipe", OSError), ("loop", OSError), ("link to a pipe", OSError)),
        *(("file/m.npz", OSError), ("x" * 300, OSError)),
    ],
)
def test_a_path_that_names_no_file_is_refused(path, error, saved, tmp_path, monkeypatch):
    """Neither read without end nor put in the place of what is there."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    os.symlink("pipe", "link to a pipe")
    (tmp_path / "file").write_text("")
    before = sorted(os.listdir()), [os.fstat(i).st_ino for i in range(3)]
    with pytest.raises(error) as raised:
        ReservoirClassifier.load(path)
    if isinstance(path, str | bytes | int):
        assert "path" in str(raised.value) or str(path) in str(raised.value)
    with pytest.raises(error):
        saved[1].save(path)
    assert before == (sorted(os.listdir()), [os.fstat(i).st_ino for i in range(3)])


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_read(path):
    with pytest.raises(OSError, match=f"Not a regular file: '{path}'"):
        ReservoirClassifier.load(path)


def test_the_home_folder(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    saved[1].save("~/m.npz")
    same(saved[1], "~/m.npz")
    assert (tmp_path / "home" / "m.npz").is_file() and not (tmp_path / "~").exists()
    saved[1].save("~nobody_of_that_name.npz")  # a file of the folder, as it was
    assert (tmp_path / "~nobody_of_that_name.npz").is_file()


def test_what_cannot_be_saved_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(TypeError, match="others can't be saved, got LogisticRegression"):
        classifier(readout=LogisticRegression()).save(path)
    model = classifier()
    model.classes_ = np.array([0, "a", None], object)
    with pytest.raises(TypeError, match=r"classes_ can't be saved: .* got an array of object"):
        model.save(path)
    assert not path.exists()
