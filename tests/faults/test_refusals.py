"""Bad data, bad checkpoints, a full or closed disk, a loss that is no number: each ends with its exit code and a
sentence, and leaves alone what was there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
import torch

from tests.faults.lab import ROOT, hashes, same_end, state_of, status


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trainer.max_epoch=2"], ["trainer.max_epoch", "did you mean", "max_epochs"]),
        (["modell=resunet"], ["`modell` is no key or group of train", "did you mean `model`"]),
        (["model=resnet"], ["model=resnet: no such choice", "did you mean model=resunet"]),
        (["seed=abc"], ["seed", "abc"]),
        (["trian"], ["`trian` is no verb", "did you mean train"]),
    ],
    ids=["key", "group", "choice", "value", "verb"],
)
def test_a_mistyped_word_is_refused_before_a_folder_is_made(tmp_path, words, said):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "lungseg", *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("ConfigError: ")
    assert "Traceback" not in done.stderr
    assert [text for text in said if text not in done.stderr] == []
    assert list(tmp_path.iterdir()) == []


def test_no_data_folder(lab):
    ended = lab.run("data=jsrt", "split=jsrt_scr", "logger=csv")
    assert ended.code == 3
    assert ended.says("DataError: the data folder data is not there", "LUNGSEG_DATA", "paths.data=", "docs/datasets")
    assert (status(lab.only_run())["state"], status(lab.only_run())["exit_code"]) == ("failed", 3)


def test_a_folder_that_holds_no_data_set(lab):
    (lab.folder / "holiday").mkdir()
    ended = lab.run("data=jsrt", "logger=csv", LUNGSEG_DATA=str(lab.folder / "holiday"))
    assert ended.code == 3
    assert ended.says("no complete copy of", "holiday", "Expected:", "data.sources.jsrt.root=<folder>")
    named = lab.run("data=jsrt", "logger=csv", "data.sources.jsrt.root=holiday")
    assert named.code == 3
    assert named.says("data.sources.jsrt.root=holiday", "Expected:")


@pytest.fixture
def own(lab):
    """A folder of four radiographs with masks, and the overrides that read it."""
    for name in ("images", "masks"):
        (lab.folder / "own" / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 24), np.uint8)
            cv2.imwrite(str(lab.folder / "own" / name / f"{i}.png"), pixels // 128 * 255 if name == "masks" else pixels)
    return ["data=folder", "data.sources.folder.root=own", "paths.store=store", *lab.tiny()[2:-1]]


def test_a_table_with_a_radiograph_twice(lab, own):
    (lab.folder / "own" / "patients.csv").write_text("image,patient\n0.png,a\n1.png,b\n2.png,c\n3.png,d\n1.png,e\n")
    ended = lab.run(*own, "data.sources.folder.table=patients.csv")
    assert ended.code == 3
    assert ended.says("patients.csv", "1.png")


def test_two_radiographs_of_one_name(lab, own):
    shutil.copy(lab.folder / "own" / "images" / "1.png", lab.folder / "own" / "images" / "1.bmp")
    ended = lab.run(*own)
    assert ended.code == 3
    assert ended.says("1 radiographs in", "share their name", "1.png", "1.bmp", "remove or rename one of each")


def test_one_patient_in_two_parts_of_the_split(lab, own):
    (lab.folder / "own" / "patients.csv").write_text("image,patient\n0.png,a\n1.png,b\n2.png,c\n3.png,a\n")
    for part, names in {"train": "0\n1\n", "val": "2\n", "test": "3\n"}.items():
        (lab.folder / f"{part}.txt").write_text(names)
    lists = ["split=list", *(f"split.{part}={part}.txt" for part in ("train", "val", "test"))]
    ended = lab.run(*own, *lists, "data.sources.folder.table=patients.csv")
    assert ended.code == 3
    assert ended.says("1 of 3 patients are in more than one part of the split: folder/a (test, train)")
    assert ended.says("allow_leakage=true")
    assert not (lab.only_run() / "checkpoints").exists()


def test_outputs_below_a_file(lab):
    (lab.folder / "outputs").write_text("notes")
    ended = lab.train()
    assert ended.code == 4
    assert ended.says("ResourceError: ", "outputs", "set paths.outputs to ")
    assert (lab.folder / "outputs").read_text() == "notes"


def can_mount(lab, folder):
    """Whether this machine lets a process mount something for itself."""
    return lab.run("--version", mounts=({"folder": str(folder), "size": "1m"},)).code == 0


def mounting(lab, folder, size):
    """Return a mount, or skip."""
    if not can_mount(lab, folder):
        pytest.skip("this machine does not allow mounts in a namespace of their own")
    return {"folder": str(folder), "size": size}


def test_a_read_only_output_folder(lab, straight):
    shutil.copytree(straight.parents[1], lab.folder / "outputs")
    run = lab.only_run()
    before = hashes(run, leave=())
    closed = (mounting(lab, lab.folder / "outputs", None),)
    for argv in ([*lab.tiny()], [f"resume={run}"], ["evaluate", f"checkpoint={run}"]):
        ended = lab.run(*argv, mounts=closed)
        assert ended.code == 4, ended.err
        assert ended.says("ResourceError: ", "cannot be", "Read-only file system", "paths.outputs")
    assert hashes(run, leave=()) == before


def test_a_full_disk_is_found_before_anything_is_built(lab):
    (lab.folder / "outputs").mkdir()
    ended = lab.train(mounts=(mounting(lab, lab.folder / "outputs", "400k"),))
    assert ended.code == 4
    assert ended.says("ResourceError: ", "cannot be written (No space left on device)", "make room")
    assert "training" not in ended.out


def test_a_disk_that_is_full_at_a_checkpoint_keeps_the_one_before(lab, straight):
    outputs, kept = lab.folder / "outputs", lab.folder / "kept"
    outputs.mkdir()
    if can_mount(lab, outputs):
        small = {"folder": str(outputs), "size": "8m"}
        ended = lab.train(
            mounts=(small,), keep=((outputs, kept),), before=(("full_at_checkpoint", 3, str(outputs)),)
        )  # fmt: skip
        (kept / "filler").unlink()
        outputs.rmdir()
        kept.rename(outputs)
    else:
        ended = lab.train(before=(("no_room_at_checkpoint", 3),))
    assert ended.code == 4
    assert ended.says("ResourceError: the checkpoint", "No space left on device", "MiB are free", "go on with resume=")
    run = lab.only_run()
    assert (status(run)["state"], status(run)["exit_code"]) == ("failed", 4)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert int(state_of(run)["step"]) == 3
    assert lab.run(f"resume={run}").code == 0  # there is room again
    assert same_end(run, straight)


def test_a_limit_on_file_sizes_stops_the_run_with_a_sentence(lab):
    ended = lab.train(fsize=2**15)  # ulimit -f: 32 KiB; not even the trial file of the start fits
    assert ended.code == 4
    assert ended.says("ResourceError: ", "File too large")


def test_a_full_disk_below_the_store(lab):
    (lab.folder / "store").mkdir()
    ended = lab.run(
        "prepare", "data.sources.phantom.n=64", "data.sources.phantom.size=[64,64]", "jobs=1",
        "preprocess.steps.resize.size=[64,64]", "paths.store=store",
        mounts=(mounting(lab, lab.folder / "store", "200k"),),
    )  # fmt: skip
    assert ended.code == 4
    assert ended.says("ResourceError: the store", "set paths.store to another folder")


def test_a_full_disk_below_the_predictions(lab, straight):
    (lab.folder / "masks").mkdir()
    cv2.imwrite(str(lab.folder / "a.png"), np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8))
    ended = lab.run(
        "predict", f"checkpoint={straight}", "input=a.png", "output=masks", "device=cpu",
        mounts=(mounting(lab, lab.folder / "masks", "16k"),),
    )  # fmt: skip
    assert ended.code == 4
    assert ended.says("ResourceError: ", "masks", "output=")


def test_a_loss_that_is_no_number_stops_the_run_and_it_goes_on_from_the_last_checkpoint(lab, straight):
    ended = lab.train(before=(("no_number_at_step", 5),))
    run = lab.only_run()
    assert ended.code == 5
    assert ended.says("DivergedError: the loss is not finite at step 4 (epoch 2)", "the batch holds phantom/")
    assert ended.says("optimizer.lr=", f"resume={run.relative_to(lab.folder)} trainer.gradient_clip_val=1")
    assert (status(run)["state"], status(run)["exit_code"]) == ("diverged", 5)
    kept = {name: state_of(run, name) for name in ("last.ckpt", "best.ckpt")}
    assert int(kept["last.ckpt"]["step"]) == 3
    assert all(tensor.isfinite().all() for state in kept.values() for tensor in state.values())
    assert lab.run(f"resume={run}").code == 0  # the fault is gone
    assert same_end(run, straight)


def test_a_learning_rate_that_is_far_too_high_leaves_no_checkpoint_and_no_other_job_of_a_sweep_suffers(lab):
    ended = lab.run("-m", *lab.tiny("trainer.max_epochs=1", "optimizer.lr=1e30,0.001"))
    assert ended.code == 1
    assert ended.says("1 of 2 jobs failed:", "#0", "optimizer.lr=1e+30", "exit code 5: DivergedError")
    assert "#1" not in ended.err
    assert "go on" not in ended.err  # there is no checkpoint to go on from
    (sweep,) = (lab.folder / "outputs" / "sweeps").iterdir()
    assert [status(sweep / job)["state"] for job in ("0", "1")] == ["diverged", "done"]
    assert not list((sweep / "0").rglob("*.ckpt*"))
    assert (sweep / "1" / "metrics.json").exists()


class Payload:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def payload(path, content):
    torch.save({**content, "extra": Payload()}, path)


def foreign_target(path, content):
    config = {**content["lungseg"]["config"], "model": {"_target_": "os.system", "command": "mkdir executed"}}
    torch.save({**content, "lungseg": {**content["lungseg"], "config": config}}, path)


def other_network(path, content):
    config = {**content["lungseg"]["config"]}
    config["model"] = {**config["model"], "features": [8, 16]}
    torch.save({**content, "lungseg": {**content["lungseg"], "config": config}}, path)


def flipped(path, content):
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    data = bytearray(path.read_bytes())
    data[largest.header_offset + 30 + len(largest.filename) + largest.file_size // 2 + 64] ^= 1
    path.write_bytes(bytes(data))


def bare_pickle(path, content):
    torch.save({**content, "extra": Payload()}, path, _use_new_zipfile_serialization=False)


DAMAGE = {
    "cut": (lambda p, c: (torch.save(c, p), os.truncate(p, p.stat().st_size // 2)), ["is cut off", "train again"]),
    "empty": (lambda p, c: p.touch(), ["(0 bytes) is cut off"]),
    "one bit flipped": (flipped, ["is damaged", "does not match its sum"]),
    "payload": (payload, ["holds more than tensors and plain values", "mkdir", "was not loaded"]),
    "payload without zip": (bare_pickle, ["is cut off or no checkpoint"]),
    "of another program": (
        lambda p, c: torch.save({"state_dict": c["state_dict"]}, p),
        ["is no checkpoint of lungseg"],
    ),
    "of another network": (other_network, ["is of another network", "tensors of other shapes"]),
    "target": (foreign_target, ["would have os.system called (config.model._target_)"]),
}


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_bad_checkpoint_is_refused_and_never_executed(lab, straight, damage, verb):
    bad = lab.folder / "bad.ckpt"
    spoil, said = DAMAGE[damage]
    spoil(bad, torch.load(straight / "checkpoints" / "best.ckpt", weights_only=True))
    rest = ["report=false", f"paths.store={lab.store}"]
    if verb == "predict":
        cv2.imwrite(str(lab.folder / "a.png"), np.zeros((32, 32), np.uint8))
        rest = ["input=a.png"]
    ended = lab.run(verb, f"checkpoint={bad}", "device=cpu", *rest)
    assert ended.code == 3, ended.err
    assert ended.says("CheckpointError: ", str(bad), *said)
    assert not (lab.folder / "executed").exists()


@pytest.mark.parametrize("damage", ["cut", "payload", "of another network"])
def test_a_run_whose_checkpoint_is_bad_is_not_resumed_and_stays_as_it_is(lab, straight, damage):
    shutil.copytree(straight.parents[1], lab.folder / "outputs")
    run = lab.only_run()
    last = run / "checkpoints" / "last.ckpt"
    if damage == "of another network":
        before = hashes(run, leave=("log.txt",))
        ended = lab.run(f"resume={run}", "model.features=[8,16]")
        assert ended.says("cannot be resumed", "config.model.features: [4, 8] before, [8, 16] now. Undo these changes")
    else:
        spoil, said = DAMAGE[damage]
        spoil(last, torch.load(straight / "checkpoints" / "last.ckpt", weights_only=True))
        before = hashes(run, leave=("log.txt",))
        ended = lab.run(f"resume={run}")
        assert ended.says("CheckpointError: ", "last.ckpt", *said[:1])
    assert ended.code == 3
    assert hashes(run, leave=("log.txt",)) == before
    assert not (lab.folder / "executed").exists()


def test_a_run_whose_split_changed_is_not_resumed_and_stays_as_it_is(lab, straight):
    shutil.copytree(straight.parents[1], lab.folder / "outputs")
    run = lab.only_run()
    before = hashes(run, leave=("log.txt",))
    ended = lab.run(f"resume={run}", "data.sources.phantom.n=15")
    assert ended.code == 3
    assert ended.says("cannot be resumed", "split_hash: ", "Undo these changes")
    assert hashes(run, leave=("log.txt", ".samples.arrow.new")) == before
