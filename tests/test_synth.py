"""The demo set is in the layout, the same every time, and worth detecting anomalies in."""

import numpy as np
import pytest
import soundfile
from conftest import files_below

from asd import dataset, synth
from asd.systems import ModspecGraph


def test_a_data_set_is_the_same_for_any_number_of_workers(tmp_path):
    for jobs in (1, 2):
        synth.write(
            tmp_path / str(jobs), "e", machines=("pump",), ids=("01",), n_train=2, n_test=2, seconds=0.5, jobs=jobs
        )
    assert files_below(tmp_path / "1") == files_below(tmp_path / "2")


def test_another_seed_is_another_data_set():
    assert (synth.clip("fan", "10", 0, seed=1) != synth.clip("fan", "10", 0, seed=2)).any()


def test_layout_of_an_evaluation_set(eval_data):
    found = dataset.scan(eval_data, "e")
    assert [str(m) for m in found] == ["fan 01", "fan 12", "valve 01", "valve 12"]
    assert {(len(m.train), len(m.test)) for m in found} == {(12, 8)}
    truth = dataset.read_ground_truth(eval_data / dataset.GROUND_TRUTH)
    assert sorted(truth) == sorted((m.machine, c.name) for m in found for c in m.test)
    labels = [truth["fan", c.name] for c in found[0].test]
    assert sum(labels) == 4
    assert labels != sorted(labels)  # the order tells nothing


@pytest.mark.parametrize("machine", dataset.MACHINES)
def test_clips_have_a_real_level_and_do_not_clip(machine, dev_data):
    clip = synth.clip(machine, "10", 0, seconds=2)
    assert clip.shape == (32000,)
    assert 0.02 < np.sqrt(np.mean(clip**2)) < 0.1
    assert np.abs(clip).max() < 1


def test_files_are_16_khz_mono_16_bit(dev_data):
    info = soundfile.info(next((dev_data / "fan/train").iterdir()))
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 16000)


def test_an_unknown_machine_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="zeppelin"):
        synth.write(tmp_path, machines=("zeppelin",))


@pytest.mark.slow
def test_anomalies_are_found_more_often_than_not_and_not_always(tmp_path):
    """AUC of System 1 between 0.6 and 1 on every machine type, and not the same on all."""
    from asd import challenge

    synth.write(tmp_path / "data", seed=0)
    places = challenge.Places(tmp_path / "data", *[tmp_path] * 5)
    challenge.run(ModspecGraph(), "d", places)
    lines = places.results_file(ModspecGraph, "d").read_text().splitlines()
    averages = [float(line.split(",")[3]) for line in lines if ",Average," in line]
    assert len(averages) == 6
    assert all(0.6 < auc < 0.99 for auc in averages)
    assert max(averages) - min(averages) > 0.05
