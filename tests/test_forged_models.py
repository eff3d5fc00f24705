"""Model files, damaged or forged: each gives a model that works, or a ValueError, within bounds."""

import contextlib
import copy
import hashlib
import json
import os
import signal
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from model_parts import assemble, item, members, npy, parts, parts_of, put, sign, write

from pixelflow import (
    LogisticReadout,
    Probe,
    ReservoirClassifier,
    ReservoirConfig,
    ReservoirRegressor,
    RidgeReadout,
)

SEED = int(os.environ.get("PIXELFLOW_FUZZ_SEED", "0"))
SECONDS, BYTES = 30, 2**26  # that no small file may take; the seconds are for a busy machine
WORK = 10**6  # values of textures over all steps, up to which a loaded model is asked to predict
RNG = np.random.default_rng(5)
X = RNG.random((40, 16), dtype=np.float32)
VALUES = X[:, :8].sum(axis=1) - X[:, 8:].sum(axis=1)
LABELS = np.digitize(VALUES, [-0.5, 0.5])
NAMES = np.array(["left", "middle", "right"], object)[LABELS]

PLAIN = ReservoirConfig(4, 4, 2, 2, rule="wave", input_encoding="image")
MEDIA = ReservoirConfig(
    *(4, 3, 2, 1),
    rule="test_media",
    rule_params={"rate": RNG.normal(size=2)},
    members=2,
    medium={"speed": RNG.random((3, 4)), "source": {"uniform": [0, 1]}},
)
FILTERS = ReservoirConfig(
    *(4, 4, 4, 2),
    rule="coupled",
    rule_params={"k": 3},
    input_encoding="patches",
    encoder_params={"k": 3, "samples": 50},
    members=2,
    probe=Probe(snapshots=(0, 2), rectify=True, threshold={"quantile": 0.3}, pool=2),
)
MODELS = {
    "ridge": (ReservoirClassifier, PLAIN, RidgeReadout([0.1, 1.0], class_weight={0: 2.0}), LABELS),
    "logistic": (ReservoirClassifier, PLAIN, LogisticReadout(), NAMES),
    "two": (ReservoirClassifier, [PLAIN, MEDIA], LogisticReadout(C=0.5), LABELS > 0),
    "one": (ReservoirClassifier, PLAIN, LogisticReadout(), LABELS * 0),
    "filters": (ReservoirClassifier, FILTERS, None, NAMES),
    "regressor": (ReservoirRegressor, (PLAIN, MEDIA), RidgeReadout(np.array([0.5])), X[:, :2]),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The files of some small models, and the models."""
    folder, found = tmp_path_factory.mktemp("saved"), {}
    for name, (cls, config, readout, y) in MODELS.items():
        model = cls(config, readout, backend="cpu").fit(X, y)
        model.save(folder / f"{name}.npz")
        found[name] = (folder / f"{name}.npz", model)
    return found


@contextlib.contextmanager
def bounded(size=0):
    """What is done within ends soon, and takes little more memory than so many bytes."""

    def late(*_):
        raise AssertionError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start()
    tracemalloc.reset_peak()
    held = tracemalloc.get_traced_memory()[0]
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] - held < BYTES + size
    finally:
        if ours:
            tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def loaded(cls, path):
    """The model of a file, which works; None if it is refused as it should be."""
    try:
        with warnings.catch_warnings(), bounded(2 * path.stat().st_size):
            warnings.simplefilter("ignore")
            model = cls.load(path)
            check_works(model)
    except ValueError as error:
        assert path.name in str(error) and len(str(error)) < 2000
        return None
    return model


def check_works(model):
    """It predicts labels that it has, or finite values; or refuses inputs of the wrong kind."""
    work = sum(c.members * c.width * c.height * c.channels * (1 + c.steps) for c in model.configs)
    if work > WORK or model.n_features_in_ > WORK or model.backend != "cpu":
        return  # it may take as long as it asks for, or until its rules are compiled
    try:
        found = model.predict(np.full((2, model.n_features_in_), 0.5, np.float32))
    except ValueError:
        return
    if isinstance(model, ReservoirClassifier):
        assert np.isin(found, model.classes_).all() and found.shape == (2,)
    else:
        assert np.isfinite(found).all() and len(found) == 2


# -- bombs: small files that ask for much ----------------------------------------------------------


HUGE = {
    "width": (10**9, "config", "width"),
    "height": (10**30, "config", "height"),
    "channels": (10**9, "config", "channels"),
    "members": (10**9, "config", "members"),
    "seed": (10**4000, "config", "seed"),
    "pool": (10**9, "config", "probe", "pool"),
    "snapshots": (list(range(150_000)), "config", "probe", "snapshots"),
    "channels read": (list(range(150_000)), "config", "probe", "channels"),
    "window": (10**9, "config", "encoder_params", "k"),
    "rule's size": (10**9, "config", "rule_params", "k"),
    "rule's size that traces": (1001, "config", "rule_params", "k"),
    "columns": (10**12, "fitted", "n_features_in_"),
    "columns of a reservoir": (10**12, "reservoirs", 0, "n_features_in_"),
    "shape": ({"tuple": [10**9, 10**9, 3]}, "reservoirs", 0, "input_shape_"),
    "axes": ({"tuple": [10**9] * 75_000}, "reservoirs", 0, "input_shape_"),
    "features": (10**12, "readout_", "fitted", "n_features_in_"),
    "threshold": (10**400, "reservoirs", 0, "threshold_"),
    "alpha": (10**400, "readout_", "fitted", "alpha_"),
    "alphas": ([1.0] * 150_000, "readout_", "params", "alpha"),
    "no alphas": ("9" * 900_000, "readout_", "params", "alpha"),
    "rule": ("x" * 900_000, "config", "rule"),
    "class": ("x" * 900_000, "readout_", "class"),
    "lists": ([[]] * 250_000, "config", "width"),
    "deep": (json.loads("[" * 300 + "]" * 300), "config", "width"),
    "long key": ({"mapping": [["x" * 300_000, [0] * 150_000]]}, "config", "rule_params"),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_size_that_nothing_supports_is_refused(name, saved, tmp_path):
    head, arrays = parts(saved["filters"][0])
    value, *keys = HUGE[name]
    put(head, value, *keys)
    assemble(tmp_path / "bomb.npz", head, arrays)
    assert loaded(ReservoirClassifier, tmp_path / "bomb.npz") is None


def header(shape="(2,)", descr="'<f8'", order="False"):
    """The bytes with which an array of that type and shape begins, whatever these are."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


HEADERS = {
    "shape": header(f"({10**30},)"),
    "power": header("(10**30,)"),
    "no bytes": header(f"(0, {10**30})"),
    "overflow": header(f"({2**62}, {2**62}, 16)"),
    "negative": header("(-2,)"),
    "true": header("(True,)"),
    "axes": header(f"({'1, ' * 64})"),
    "many axes": header(f"({'1, ' * 15_000})"),
    "digits": header(f"({'9' * 5000},)"),
    "deep shape": header("(" * 5000 + ")" * 5000),
    "cells of no bytes": header("(300000000,)", "'<U0'"),
    "large cells": header("(1,)", "'<U999999999'"),
    "empty descr": header(descr="()"),
    "no descr": header(descr="None"),
    "fields": header(descr="[('a', '<f8')]"),
    "deep descr": header(descr="[" * 5000 + "]" * 5000),
    "no type": header(descr="'<f3'"),
    "old type": header(descr="'|a16'"),
    "objects": header(descr="'|O'"),
    "dates": header(descr="'<M8[ns]'"),
    "bytes": header("(300000000,)", "'|S0'"),
    "order": header("(2, 1)", order="True"),
    "token": header("(2,", order="'''"),
    "zeros": b"\x93NUMPY\x01\x00\x10\x00" + b"\0" * 16,
    "version": b"\x93NUMPY\x03\x00" + struct.pack("<I", 2**32 - 1) + b"{}",
    "long": b"\x93NUMPY\x01\x00\xff\xff" + b"[" * 65535,
    "text": b"not an array",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("member", ["model.npy", "state.readout_.fitted.intercept_.npy"])
def test_a_forged_header_is_refused(name, member, saved, tmp_path):
    contents = members(saved["ridge"][0])
    write(tmp_path / "header.npz", {**contents, member: HEADERS[name] + b"\0" * 16})
    assert loaded(ReservoirClassifier, tmp_path / "header.npz") is None


def directory(data):
    """Where each entry of an archive's directory begins, and its name."""
    at = data.index(b"PK\x01\x02")
    while data[at : at + 4] == b"PK\x01\x02":
        n_name, n_extra, n_comment = struct.unpack_from("<3H", data, at + 28)
        yield at, data[at + 46 : at + 46 + n_name].decode()
        at += 46 + n_name + n_extra + n_comment


def overlapping(path, contents):
    """300 names for the bytes of one member."""
    names = [f"state.config.rule_params.p{i}.npy" for i in range(300)]
    write(path, {**contents, names[0]: npy(np.zeros(10**5)), **dict.fromkeys(names[1:], b"")})
    data = bytearray(path.read_bytes())
    entries = {name: at for at, name in directory(data)}
    sizes, start = data[entries[names[0]] + 16 :][:12], data[entries[names[0]] + 42 :][:4]
    for name in names[1:]:
        data[entries[name] + 16 : entries[name] + 28] = sizes
        data[entries[name] + 42 : entries[name] + 46] = start
    path.write_bytes(data)


def nested(path, contents):
    """A member that begins within another."""
    write(path, contents)
    data = bytearray(path.read_bytes())
    (first, _), (second, _) = list(directory(data))[1:3]
    struct.pack_into("<I", data, second + 42, struct.unpack_from("<I", data, first + 42)[0] + 8)
    path.write_bytes(data)


def beyond(path, contents):
    """A member that says that it is larger than the file."""
    write(path, contents)
    data = bytearray(path.read_bytes())
    last, _ = list(directory(data))[-1]
    struct.pack_into("<2I", data, last + 20, 2**31, 2**31)
    path.write_bytes(data)


def crowded(path, contents):
    """A directory of many members."""
    names = [f"state.config.rule_params.a_long_name_{i}.npy" for i in range(20_000)]
    write(path, {**contents, **dict.fromkeys(names, b"")})


def twice(path, contents):
    """Two members of one name."""
    write(path, contents)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr("state.fitted.classes_.npy", contents["state.fitted.classes_.npy"])


def compressed(path, contents):
    """Zeros, in a thousandth of their size."""
    large = {"state.config.rule_params.a.npy": npy(np.zeros(10**7))}
    write(path, {**contents, **large}, compression=zipfile.ZIP_DEFLATED)


def many_configs(path, contents):
    """As many configs as a description holds."""
    head, arrays = parts_of(contents)
    put(head, [{"mapping": [["rule", "wave"], ["width", 4], ["height", 4]]}] * 3000, "config")
    put(head, ["0" * 24] * 3000, "rules")
    assemble(path, head, arrays)


ARCHIVES = [
    *((overlapping, "overlaps another"), (nested, "overlaps another")),
    *((beyond, "ends beyond the end of the file"), (crowded, "directory is larger")),
    *((twice, "unexpected member"), (compressed, "unexpected member")),
    (many_configs, "readout_ must take 192000 features, got 32"),
]


@pytest.mark.parametrize(("forge", "message"), ARCHIVES)
def test_an_archive_that_holds_no_model_is_refused(forge, message, saved, tmp_path):
    path = tmp_path / "archive.npz"
    forge(path, members(saved["ridge"][0]))
    with warnings.catch_warnings(), bounded(path.stat().st_size):
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=rf"archive\.npz .*{message}"):
            ReservoirClassifier.load(path)


@pytest.mark.parametrize("text", [b"[" * 10**6, b"[]," * 10**6, b'{"a":' * 10**5, b"1" * 10**6])
def test_a_description_that_is_nothing_but_large_is_refused(text, saved, tmp_path):
    contents = members(saved["ridge"][0])
    write(tmp_path / "text.npz", {**contents, "model.npy": npy(np.frombuffer(text, np.uint8))})
    assert loaded(ReservoirClassifier, tmp_path / "text.npz") is None


def test_an_array_has_one_place(saved, tmp_path):
    """One that is converted in many places would take memory for each of them."""
    head, arrays = parts(saved["logistic"][0])
    name = "state.readout_.fitted.classes_"
    arrays[name] = np.arange(10**5).astype(str)
    put(head, [{"array": name, "objects": True}] * 400, "readout_", "fitted", "classes_")
    assemble(tmp_path / "bomb.npz", head, arrays)
    with pytest.raises(ValueError, match="must refer to the array of its own name"), bounded():
        ReservoirClassifier.load(tmp_path / "bomb.npz")


def test_cells_of_no_bytes_are_refused(saved, tmp_path):
    """300 million of them are in a file of some kilobytes, with the right checksum."""
    head, arrays = parts(saved["logistic"][0])
    name, begin = "state.fitted.feature_names_in_", header("(300000000,)", "'<U0'")
    found = {"array": name, "objects": True}
    item(head["state"], "fitted")["mapping"].append(["feature_names_in_", found])
    arrays[name] = np.array(["a"])
    assemble(tmp_path / "bomb.npz", head, arrays)
    head["arrays"][name] = hashlib.sha256(b"<U0(300000000,)").hexdigest()
    sign(head)
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    changed = {"model.npy": npy(text), f"{name}.npy": begin}
    write(tmp_path / "bomb.npz", members(tmp_path / "bomb.npz") | changed)
    assert loaded(ReservoirClassifier, tmp_path / "bomb.npz") is None


def test_a_large_texture_takes_no_memory_before_it_is_used(saved, tmp_path):
    """A learned encoder's windows are of every cell: half a gigabyte here."""
    head, arrays = parts(saved["filters"][0])
    for field, value in {"width": 4096, "height": 4096, "members": 1}.items():
        put(head, value, "config", field)
    for name in ("kernel", "bias"):
        arrays[f"state.reservoirs.0.encoder_.{name}"] = arrays[
            f"state.reservoirs.0.encoder_.{name}"
        ][:1]
    coef = "state.readout_.fitted.coef_"
    arrays[coef] = arrays[coef][:, : arrays[coef].shape[1] // 2]
    put(head, arrays[coef].shape[1], "readout_", "fitted", "n_features_in_")
    assemble(tmp_path / "large.npz", head, arrays)
    model = loaded(ReservoirClassifier, tmp_path / "large.npz")
    assert model is not None and model.configs[0].width == 4096


# -- anything --------------------------------------------------------------------------------------


def damaged(rng, data):
    """The bytes of a file, some of them changed, lost or moved."""
    data, kind = bytearray(data), rng.integers(6)
    first, second = sorted(rng.integers(len(data), size=2).tolist())
    if kind == 0:
        del data[first:]
    elif kind == 1:
        del data[first:second]
    elif kind == 2:
        data[first:first] = data[first:second]
    elif kind == 3:
        first = len(data) - 1 - first % 900  # where the directory is
        data[first] = rng.integers(256)
    else:
        for at in rng.integers(len(data), size=rng.integers(1, 9)):
            data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def shuffled(rng, contents):
    """The members of a file: two that changed places, one lost, doubled or cut."""
    names = list(contents)
    one, other = rng.choice(names, 2, replace=False).tolist()
    contents, kind = dict(contents), rng.integers(5)
    if kind == 0:
        contents[one], contents[other] = contents[other], contents[one]
    elif kind == 1:
        del contents[one]
    elif kind == 2:
        contents[f"{other}.npy"] = contents[one]
    elif kind == 3:
        contents[one] = contents[one][: rng.integers(len(contents[one]))]
    else:
        contents[one] = damaged(rng, contents[one])
    return contents


def places(packed, found=()):
    """Every place of a description's state: the list that holds it, and its number in that."""
    if isinstance(packed, dict):
        packed = next(iter(packed.values()), None)
    if isinstance(packed, list):
        found = [*found, *((packed, i) for i in range(len(packed)))]
        for inner in packed:
            found = places(inner, found)
    return found


VALUES_TO_PUT = (
    *(None, True, False, -1, 0, 1, 2, 3, 7, 10**9, 2**31, 2**63, 10**30, 10**400, -(10**30)),
    *(0.5, -0.5, 1e-320, 1e30, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "x", "wave", "coupled", "patches", "RidgeReadout", "LogisticReadout", "x" * 10**4),
    *("\ud800", "\0", "../x", "__class__", "predict", "config", "average", "flip"),
    *(
        [],
        [[]],
        [1],
        [0, 2],
        [1.5] * 40,
        {"mapping": []},
        {"mapping": [[1]]},
        {"mapping": [[[], 1]]},
    ),
    *({"tuple": []}, {"tuple": [4, 4]}, {"tuple": [-4, -4]}, {"tuple": [16, 1, 3]}, {}, {"x": 1}),
    *({"array": "x", "objects": True}, {"array": None, "objects": None}, {"array": []}),
    *({"mapping": [["uniform", [0, 1]]]}, {"mapping": [["quantile", 0.5]]}),
    json.loads("[" * 100 + "]" * 100),
)


def rewritten(rng, head):
    """A description with some of its values replaced, lost, doubled or exchanged."""
    head = copy.deepcopy(head)
    for _ in range(rng.integers(1, 4)):
        every = places(head["state"])
        where, i = every[rng.integers(len(every))]
        kind = rng.integers(8)
        if kind == 0:
            del where[i]
        elif kind == 1:
            where.insert(i, copy.deepcopy(where[i]))
        elif kind == 2:
            other, j = every[rng.integers(len(every))]
            where[i] = copy.deepcopy(other[j])
        else:
            where[i] = copy.deepcopy(VALUES_TO_PUT[rng.integers(len(VALUES_TO_PUT))])
    return head


TYPES_TO_PUT = ("f2", "f4", "f8", ">f8", "i1", "i8", "u8", "?", "U9", "U1")
NUMBERS_TO_PUT = (np.nan, np.inf, -np.inf, 1e308, -1e308, 3e38, 1e-320, -1.0, 0.0)


def reshaped(rng, arrays):
    """Arrays, one of which has another shape, type or order, or values that none has."""
    name, other = rng.choice(list(arrays), 2).tolist()
    array, kind = arrays[name].copy(), rng.integers(9)
    values = array.reshape(-1)
    if kind == 0:
        array = values[: rng.integers(1, array.size + 1)]
    elif kind == 1:
        array = np.concatenate([array] * int(rng.integers(2, 4)))
    elif kind == 2:
        array = array.reshape(rng.permutation([*array.shape, 1]))
    elif kind == 3:
        array = retyped(array, rng.choice(TYPES_TO_PUT).item())
    elif kind == 4:
        array = rng.permutation(array)
    elif kind == 5:
        values[:] = values[0]
    elif kind == 6:
        return {**arrays, name: arrays[other], other: arrays[name]}
    elif kind == 7 or array.dtype.kind != "f":
        content = values.view(np.uint8)
        content[rng.integers(content.size)] = 255
    else:
        with np.errstate(over="ignore"):
            values[rng.integers(values.size)] = rng.choice(NUMBERS_TO_PUT)
    return {**arrays, name: array}


def retyped(array, dtype):
    """An array of another type; text of bytes that were none where it can't be converted."""
    try:
        with np.errstate(all="ignore"):
            return array.astype(dtype)
    except ValueError:
        return array.reshape(-1).view(np.uint8)


@pytest.fixture
def traced():
    """Memory is counted, once for all files."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_file_gives_the_same_model_or_none(name, saved, tmp_path):
    """Its checksums tell: what is loaded predicts what was saved."""
    (path, model), rng = saved[name], np.random.default_rng([SEED, 0, list(MODELS).index(name)])
    expected, whole = model.predict(X), path.read_bytes()
    for number in range(80):
        path = tmp_path / f"damaged_{number}.npz"
        if number % 3:
            path.write_bytes(damaged(rng, whole))
        else:
            write(path, shuffled(rng, members(saved[name][0])))
        again = loaded(type(model), path)
        assert again is None or np.array_equal(again.predict(X), expected)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", MODELS)
def test_a_forged_file_gives_a_model_that_works_or_none(name, saved, tmp_path):
    """All its checksums are right."""
    (path, model), rng = saved[name], np.random.default_rng([SEED, 1, list(MODELS).index(name)])
    head, arrays = parts(path)
    n_loaded = 0
    for number in range(120):
        changed_head, changed = head, arrays
        if number % 2:
            changed_head = rewritten(rng, head)
        else:
            changed = reshaped(rng, arrays)
        path = tmp_path / f"forged_{number}.npz"
        assemble(path, copy.deepcopy(changed_head), changed)
        n_loaded += loaded(type(model), path) is not None
    assert 5 < n_loaded < 115  # else nothing was tried
