"""Models in files: the same after load, and every file that is none is refused by name."""

import io
import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
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


@pytest.fixture
def saved(tmp_path):
    """The file of a model, and its model."""
    model = classifier([PLAIN, MEDIA])
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
    with pytest.raises(ValueError, match="begin with a clone"):
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


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, contents, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in contents.items():
            file.writestr(name, data)


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


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
        with pytest.raises(ValueError, match=r"model\.npz is damaged, or no file of a model"):
            ReservoirClassifier.load(path)
    for changed, message in (
        ({"model.npy": evil}, "allow_pickle"),
        ({"state.readout_.fitted.coef_.npy": evil}, "allow_pickle"),
        ({"more.npy": npy(X)}, "more"),
        ({"model.py": b"raise SystemExit"}, "'model.py' is none"),
        ({"model.npy": npy(np.frombuffer(b"[1]", np.uint8))}, "no file of a pixelflow model"),
        ({"model.npy": npy(np.frombuffer(b"\xff", np.uint8))}, "no file of a pixelflow model"),
        ({"model.npy": npy(np.zeros(2, complex))}, "complex"),
        ({"state.fitted.classes_.npy": npy(np.zeros(2)) + b"more"}, "goes on"),
        ({"state.fitted.classes_.npy": npy(np.array([0, 1, 3]))}, "classes_ was changed"),
        ({"state.fitted.classes_.npy": b""}, "model.npz"),
    ):
        write(path, {**contents, **changed})
        with pytest.raises(ValueError, match=message) as raised:
            ReservoirClassifier.load(path)
        assert "model.npz" in str(raised.value)
    write(path, {k: v for k, v in contents.items() if "classes_" not in k})
    with pytest.raises(ValueError, match="arrays aren't those"):
        ReservoirClassifier.load(path)
    write(path, contents, compression=zipfile.ZIP_DEFLATED)  # a small file must stay small
    with pytest.raises(ValueError, match="none that a model has"):
        ReservoirClassifier.load(path)
    np.savez(path, a=X)
    with pytest.raises(ValueError, match="no file of a pixelflow model"):
        ReservoirClassifier.load(path)
    with pytest.raises(FileNotFoundError):
        ReservoirClassifier.load(path.with_name("none.npz"))


def described(path, change, signed=True):
    """Change the description in a file, and its checksum with it."""
    contents = members(path)
    array = np.lib.format.read_array(io.BytesIO(contents["model.npy"]))
    head = json.loads(array.tobytes())
    change(head)
    if signed:
        head.pop("sha256")
        head["sha256"] = archive.packing.digest(archive._text(head))
    contents["model.npy"] = npy(np.frombuffer(archive._text(head).encode(), np.uint8))
    write(path, contents)


def state(head):
    return dict(head["state"]["mapping"])


@pytest.mark.parametrize(
    ("change", "signed", "message"),
    [
        (lambda head: head.update(schema=2), True, "schema is 2 and this pixelflow reads 1"),
        (lambda head: head.update(schema=2), False, "schema is 2 and this pixelflow reads 1"),
        (lambda head: head.update(format="other"), True, "no file of a pixelflow model"),
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
        array = np.lib.format.read_array(io.BytesIO(other[f"{name}.npy"]))
        head["arrays"][name] = archive.packing.digest(array)

    contents = members(path)
    write(path, {**contents, f"{name}.npy": other[f"{name}.npy"]})
    described(path, swap)
    with pytest.raises(ValueError, match=r"readout .* features"):
        ReservoirClassifier.load(path)


def test_a_model_is_loaded_by_its_own_class(saved):
    with pytest.raises(ValueError, match="holds a ReservoirClassifier: use ReservoirClassifier"):
        ReservoirRegressor.load(saved[0])


def test_a_rule_has_to_be_registered_and_the_same(tmp_path, registry):
    def build(rate):
        @rule("test_saved", channels=("a",))
        def saved_rule(at, p):
            return {"a": at(0, 1, "a") * rate}

    build(0.5)
    config = ReservoirConfig(6, 6, 1, 1, rule="test_saved")
    model = classifier(config)
    model.save(tmp_path / "model.npz")
    same(model, tmp_path / "model.npz")
    build(0.25)
    with pytest.warns(UserWarning, match="'test_saved' isn't as it was"):
        ReservoirClassifier.load(tmp_path / "model.npz")
    del registry["test_saved"]
    with pytest.raises(ValueError, match=r"model\.npz .*'test_saved' isn't registered") as raised:
        ReservoirClassifier.load(tmp_path / "model.npz")
    assert "run the code that defines it" in str(raised.value)


def test_what_cannot_be_saved_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(TypeError, match="readout LogisticRegression can't be saved"):
        classifier(readout=LogisticRegression()).save(path)
    model = classifier()
    model.classes_ = np.array([0, "a", None], object)
    with pytest.raises(TypeError, match=r"classes_ can't be saved: it is an array of object"):
        model.save(path)
    assert not path.exists()
