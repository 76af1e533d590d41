"""Small folders in the layouts of data sets other than NSD."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from layout_experiment import N_SHARED, PER_SESSION, SESSIONS, V, experiment, zscored
from layout_files import jpeg, path_of, save_volume, volume
from PIL import Image


def write_things(root: Path, subject: str = "sub-01") -> Path:
    exp, layout = experiment(), "things-fmri"
    voxel_ids = np.arange(V) + 100
    with h5py.File(path_of(layout, "responses", root, subject=subject), "w") as file:
        group = file.create_group("ResponseData")
        group["axis0"] = np.array(["voxel_id", *map(str, range(len(exp.order)))], "S")
        group["axis1"] = np.arange(V)
        group["block0_items"] = np.array([str(k) for k in range(len(exp.order))], "S")
        group["block0_values"] = exp.betas.T.astype(np.float64)
        group["block1_items"] = np.array(["voxel_id"], "S")
        group["block1_values"] = voxel_ids[:, None]
    lines = ["trial_id,stimulus,concept,trial_type,session,run"]
    for trial, row in enumerate(exp.shown):
        concept = f"thing{row % 7}"
        kind = "test" if exp.is_shared[trial] else "train"
        lines.append(f"{trial},{concept}_{row:03d}.jpg,{concept},{kind},{exp.session[trial]},1")
    path_of(layout, "stimuli", root, subject=subject).write_text("\n".join(lines) + "\n")
    voxels = ["voxel_id,subject_id,voxel_x,voxel_y,voxel_z,V1,V2"]
    voxels += [
        f"{voxel_ids[k]},1,{k},{k + 1},{k + 2},{int(exp.labels[k] == 1)},{int(exp.labels[k] == 2)}"
        for k in range(V)
    ]
    path_of(layout, "voxels", root, subject=subject).write_text("\n".join(voxels) + "\n")
    for row in exp.rows:
        concept = f"thing{row % 7}"
        path = path_of(layout, "pictures", root, concept=concept, stimulus=f"{concept}_{row:03d}")
        path.write_bytes(jpeg(exp.pictures[row]))
    return root


def god_label(row: int) -> float:
    return 1_500_000 + row + (row * 7 % 1000) * 1e-6


def write_god(root: Path, subject: str = "Subject1") -> Path:
    exp, layout = experiment(), "god"
    n = len(exp.order)
    imagery = 5
    columns = {
        "VoxelData": np.concatenate([exp.betas, np.zeros((imagery, V))]),
        "DataType": np.concatenate([np.where(exp.is_shared, 2, 1), np.full(imagery, 3)])[:, None],
        "Run": np.concatenate([exp.session, np.full(imagery, 9)])[:, None],
        "Label": np.array([god_label(row) for row in exp.shown] + [np.nan] * imagery)[:, None],
    }
    width = sum(values.shape[1] for values in columns.values())
    kinds, at = (
        {
            name: np.full(width, np.nan)
            for name in (*columns, "ROI_V1", "ROI_V2", "voxel_x", "voxel_y", "voxel_z")
        },
        0,
    )
    for name, values in columns.items():
        kinds[name][at : at + values.shape[1]] = 1
        at += values.shape[1]
    kinds["ROI_V1"][:V], kinds["ROI_V2"][:V] = exp.labels == 1, exp.labels == 2
    for k, axis in enumerate("xyz"):
        kinds[f"voxel_{axis}"][:V] = np.arange(V) + k
    with h5py.File(path_of(layout, "responses", root, subject=subject), "w") as file:
        file["dataset"] = np.concatenate(list(columns.values()), axis=1)
        file["metadata/key"] = np.array(list(kinds), dtype=h5py.string_dtype())
        file["metadata/value"] = np.stack(list(kinds.values()))
        file["metadata/description"] = np.array(list(kinds), dtype=h5py.string_dtype())
    assert n + imagery == len(columns["Run"])
    for row in exp.rows:
        whole, fraction = divmod(round(god_label(row) * 1e6), 10**6)
        path = path_of(layout, "pictures", root, picture=f"n{whole:08d}_{fraction}.png")
        Image.fromarray(exp.pictures[row]).save(path)
    return root


def picture_name(row: int) -> str:
    """What BOLD5000, MOSAIC and LAION-fMRI's small folders call a picture of the experiment."""
    return f"n01930112_{row}.JPEG"


def write_bold5000(root: Path, subject: str = "CSI1") -> Path:
    """The first session is a trial shorter than the others, the second a trial longer."""
    exp, layout = experiment(), "bold5000"
    ends = [PER_SESSION - 1, 2 * PER_SESSION, 3 * PER_SESSION, len(exp.order)]
    for session, (start, end) in enumerate(zip([0, *ends], ends), start=1):
        path = path_of(layout, "betas", root, subject=subject, session=session)
        save_volume(path, volume(exp.betas[start:end].T.astype(np.float32), outside=np.nan))
    inside = volume(np.ones(V, np.int16), outside=0)
    save_volume(path_of(layout, "mask", root, subject=subject), inside)
    names = [picture_name(row) for row in exp.shown]
    path_of(layout, "image_names", root, subject=subject).write_text("\n".join(names) + "\n")
    repeated = [picture_name(row) for row in exp.rows[:N_SHARED]]
    path_of(layout, "repeated_images", root).write_text("\n".join(repeated) + "\n")
    for row in exp.rows:
        path = path_of(layout, "pictures", root, collection="ImageNet", picture=picture_name(row))
        path.write_bytes(jpeg(exp.pictures[row]))
    for region, number in (("LHEarlyVis", 1), ("RHEarlyVis", 2), ("LHLO", 3)):
        path = path_of(layout, "regions", root, subject=subject, region=region)
        save_volume(path, volume((exp.labels == number).astype(np.int16), outside=0))
    return root


def write_mosaic(root: Path, subject: str = "sub-01_NSD") -> Path:
    """A vector for each trial, in no order; one grayordinate is NaN throughout."""
    exp, layout, betas = experiment(), "mosaic", zscored()
    seen: dict[int, int] = {}
    with h5py.File(path_of(layout, "responses", root, subject=subject), "w") as file:
        for trial in np.random.default_rng(3).permutation(len(exp.order)):
            row, repeat = exp.shown[trial], seen.setdefault(exp.shown[trial], 0)
            seen[row] += 1
            phase = "test" if exp.is_shared[trial] else "train"
            name = f"{subject}_stimulus-n01930112_{row}_phase-{phase}_rep-{repeat}"
            item = file.create_dataset(f"betas/{name}", data=np.append(betas[trial], np.nan))
            item.attrs["phase"], item.attrs["repetition"] = phase, repeat
            item.attrs["presented_stimulus_filename"] = picture_name(row)
        ceiling = file.create_dataset(
            f"noiseceilings/{subject}_phase-test_n-1_noiseceiling", data=np.full(V + 1, 20.0)
        )
        ceiling.attrs["n"], ceiling.attrs["phase"] = "1", "test"
    for row in exp.rows:
        path_of(layout, "pictures", root, picture=picture_name(row)).write_bytes(jpeg(exp.pictures[row]))
    names = {0: "", 1: "L_V1", 4: "L_V2", 18: "L_FFC", 24: "L_A1", 181: "R_V1", 378: "thalamus_right"}
    number = np.array([0, 1, 4, 18])[exp.labels]
    number[exp.labels == 1] += 180 * (np.arange(V)[exp.labels == 1] % 2)  # every other voxel to the right
    np.savez(
        path_of(layout, "parcels", root),
        map_all=np.append(number, 378),
        ids=np.array(list(names)),
        labels=np.array(list(names.values())),
    )
    return root


def write_laion(root: Path, subject: str = "sub-01") -> Path:
    """Sessions 1, 2, 4 and 5, their lists in another order than their volumes; split tau leaves four images
    out."""
    exp, layout = experiment(), "laion-fmri"
    labels = [f"shared_12rep_LAION_cluster_{row}.jpg" for row in exp.shown]
    for session in range(1, SESSIONS + 1):
        trials = np.flatnonzero(exp.session == session)
        number = session + (session > 2)
        path = path_of(layout, "betas", root, subject=subject, session=number)
        save_volume(path, volume(exp.betas[trials].T.astype(np.float32), outside=np.nan))
        lines = [f"{number}\t1\t{k}\t{labels[trial]}" for k, trial in enumerate(trials)]
        path_of(layout, "trials", root, subject=subject, session=number).write_text(
            "\n".join(["session\trun\tbeta_index\tlabel", *lines[::-1]]) + "\n"
        )
    inside = volume(np.ones(V, np.int16), outside=0)
    save_volume(path_of(layout, "mask", root, subject=subject), inside)
    save_volume(
        path_of(layout, "ceiling", root, subject=subject), volume(np.full(V, 60.0, np.float32), outside=0)
    )
    for number, region in ((1, "V1"), (2, "FFA1")):
        path = path_of(layout, "regions", root, subject=subject, kind="face", region=region)
        save_volume(path, volume((exp.labels == number).astype(np.int16), outside=0))
    rows = np.random.default_rng(5).permutation(exp.rows)
    with h5py.File(path_of(layout, "stimuli", root), "w") as file:
        packed = file.create_dataset("images", (len(rows),), dtype=h5py.vlen_dtype(np.uint8))
        for k, row in enumerate(rows):
            packed[k] = np.frombuffer(jpeg(exp.pictures[row]), np.uint8)
    names = ["image_name,dataset", *(f"shared_12rep_LAION_cluster_{row},LAION" for row in rows)]
    path_of(layout, "stimulus_names", root).write_text("\n".join(names) + "\n")
    names = [f"shared_12rep_LAION_cluster_{row}.jpg" for row in exp.rows]
    for pool, left_out in ((subject, 0), ("shared", 4)):
        sides = {"test_ids": names[:N_SHARED], "train_ids": names[N_SHARED + left_out :]}
        content = {"name": "tau", "variants": [{"variant_id": 0, **sides}]}
        path_of(layout, "splits", root, pool=pool, split="tau").write_text(json.dumps(content))
    return root
