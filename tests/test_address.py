"""Data behind a URL gives what the same data in a folder gives."""

import pickle
import warnings

import numpy as np
import pytest
from conftest import SYSTEM1, files_below, stops

from asd import audio, dataset
from asd.address import Address, place
from asd.audio import AudioError, DataError

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture
def in_memory(dev_data):
    """The development set behind `memory://`."""
    system = fsspec.filesystem("memory")
    system.put(str(dev_data), "/plant/dev", recursive=True)
    yield "memory://plant/dev"
    system.rm("/plant", recursive=True)


@pytest.fixture(params=["memory", "file"])
def address(request, dev_data):
    return request.getfixturevalue("in_memory") if request.param == "memory" else dev_data.as_uri()


def test_a_run_on_an_address_writes_the_same_files(run_here, address, dev_data, tmp_path, monkeypatch):
    assert run_here(SYSTEM1, "d", dev_data)[0] == 0
    expected = files_below(tmp_path / "out")
    code, _, err = run_here(SYSTEM1, "d", address, "--report", output=tmp_path / "there")
    assert code == 0, err
    made = files_below(tmp_path / "there")
    assert {name: content for name, content in made.items() if not name.startswith("reports")} == expected
    assert b"recording not at hand" in made["reports/dev/modspec_graph/report.html"]
    features = files_below(tmp_path / "saved")
    code, _, err = run_here(SYSTEM1, "d", address, "--force", output=tmp_path / "forced")
    assert code == 0, err
    assert files_below(tmp_path / "forced") == expected
    npy = {name for name in features if name.endswith(".npy")}
    assert {name: files_below(tmp_path / "saved")[name] for name in npy} == {name: features[name] for name in npy}


def test_a_changed_clip_is_noticed(run_here, in_memory):
    run_here(SYSTEM1, "d", in_memory)
    assert not run_here(SYSTEM1, "d", in_memory)[2]
    system = fsspec.filesystem("memory")
    clips = "/plant/dev/fan/test/anomaly_id_00_0000000"
    system.pipe(f"{clips}1.wav", system.cat(f"{clips}0.wav"))
    assert "computed again (1): fan 00" in run_here(SYSTEM1, "d", in_memory)[2]


def test_clips_and_their_errors_carry_the_address(address, dev_data):
    found, expected = dataset.scan(address, "d"), dataset.scan(dev_data, "d")
    assert [[c.name for c in m.train + m.test] for m in found] == [[c.name for c in m.train + m.test] for m in expected]
    clip = found[0].train[0].path
    np.testing.assert_array_equal(audio.read(clip), audio.read(expected[0].train[0].path))
    with pytest.raises(AudioError, match=f"^{place(address)}/nowhere.wav: cannot be read"):
        audio.read(place(address) / "nowhere.wav")
    assert pickle.loads(pickle.dumps(clip)) == clip
    assert hash(pickle.loads(pickle.dumps(clip))) == hash(clip)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF\x24\x00\x00\x00WAVE", b"no sound at all", "truncated", "float", "flac"]
)
def test_odd_files_are_told_and_read_as_from_disk(in_memory, tmp_path, content):
    path = tmp_path / "clip.wav"
    if isinstance(content, str):
        import soundfile

        options = {"float": {"subtype": "FLOAT"}, "flac": {"format": "FLAC"}}.get(content, {})
        soundfile.write(path, np.linspace(-0.5, 0.5, 2000), 16000, **options)
        content = path.read_bytes()[: -100 if content == "truncated" else None]
    path.write_bytes(content)
    fsspec.filesystem("memory").pipe("/plant/dev/clip.wav", content)

    def outcome(path):
        try:
            return audio.read(path).tolist()
        except AudioError as error:
            return error.reason

    assert outcome(place(f"{in_memory}/clip.wav")) == outcome(path)


def test_what_cannot_be_opened_is_told_in_one_line(run_here):
    stops(run_here(SYSTEM1, "d", "memory://nothing/here"), "memory://nothing/here", "--data")
    stops(run_here(SYSTEM1, "d", "nonsense://here"), "nonsense://here")


def test_a_file_system_that_is_not_installed_is_named(monkeypatch):
    def url_to_fs(url):
        raise ImportError("Install s3fs to access S3", name="s3fs")

    monkeypatch.setattr("fsspec.core.url_to_fs", url_to_fs)
    with pytest.raises(DataError, match=r"s3://bucket/data: .*Install s3fs"):
        place("s3://bucket/data").is_dir()


def test_errors_of_a_service_are_os_errors(monkeypatch):
    class Service:
        def cat_file(self, path):
            raise RuntimeError("no credentials")

    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (Service(), url))
    with pytest.raises(AudioError, match=r"s3://bucket/a\.wav: cannot be read .*no credentials"):
        audio.read(Address("s3://bucket/a.wav"))


def test_paths_stay_paths_and_addresses_join(tmp_path):
    assert place(tmp_path) == tmp_path
    assert place(str(tmp_path)) == tmp_path
    clip = place("s3://bucket/data/") / "fan" / "a.wav"
    assert (str(clip), clip.name, str(clip.parent)) == ("s3://bucket/data/fan/a.wav", "a.wav", "s3://bucket/data/fan")
    assert str(place("memory://") / "fan") == "memory://fan"
    assert place("s3://bucket").parent == place("s3://bucket")
    assert sorted([clip, clip.parent]) == [clip.parent, clip]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert place(clip) is clip
