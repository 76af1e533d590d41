"""Small folders in the layouts in which NSD is handed on, and in those of its test sets apart."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import scipy.io
from layout_experiment import (
    N_IMAGES,
    N_OWN,
    N_SHARED,
    N_STIMULI,
    PER_SESSION,
    SESSIONS,
    SUBJECT,
    Experiment,
    V,
    elsewhere,
    experiment,
    zscored,
)
from layout_files import jpeg, npy, path_of, save_betas, save_volume, volume, write_tar
from PIL import Image

from harness.benchmarks.layouts.nsd_imagery import RUNS, TARGETS


def write_design(layout: str, root: Path) -> None:
    exp = experiment()
    subjectim = np.stack([np.concatenate([exp.rows[:N_SHARED], other]) for other in _others(exp)])
    scipy.io.savemat(
        path_of(layout, "experiment_design", root),
        {
            "masterordering": (exp.order + 1)[None].astype(float),
            "subjectim": (subjectim + 1).astype(float),
            "sharedix": (np.sort(exp.rows[:N_SHARED]) + 1)[None].astype(float),
        },
    )


def _others(exp: Experiment) -> list[np.ndarray]:
    free = np.setdiff1d(np.arange(N_STIMULI), exp.rows)
    return [exp.rows[N_SHARED:], np.random.default_rng(1).permutation(free)[:N_OWN]]


def write_stimuli(layout: str, root: Path) -> None:
    with h5py.File(path_of(layout, "stimuli", root), "w") as file:
        file["imgBrick"] = experiment().pictures


def write_nsd(root: Path, *, form: str = "betas", layout: str = "nsd") -> Path:
    """NSD's volumes; form ``betas_hdf5``: MATLAB's axes in reverse; layout: any that holds these files."""
    exp = experiment()
    write_design(layout, root)
    write_stimuli(layout, root)
    stored = np.round(exp.betas * 300).astype(np.int16)
    for session in range(1, SESSIONS + 1):
        values = volume(stored[exp.session == session].T, outside=0)
        path = path_of(layout, form, root, subject=SUBJECT, session=session)
        save_betas(path, values)
    inside = volume(np.ones(V, np.int16), outside=0)
    inside[0, 0, 0] = inside[0, 0, 0] or -1
    save_volume(path_of(layout, "mask", root, subject=SUBJECT), inside)
    save_volume(
        path_of(layout, "ncsnr", root, subject=SUBJECT), volume(np.linspace(0.1, 1, V), outside=np.nan)
    )
    for atlas, labels in (("prf-visualrois", exp.labels), ("streams", exp.labels % 3 * 3 + 1)):
        save_volume(
            path_of(layout, "regions", root, subject=SUBJECT, atlas=atlas),
            volume(labels.astype(np.int16), outside=-1),
        )
    table = path_of(layout, "region_names", root, subject=SUBJECT, atlas="prf-visualrois")
    table.write_text("0 Unknown\n1 V1v\n2 V1d\n3 V2v\n")
    return root


def write_nsd_fsaverage(root: Path) -> Path:
    """Half of the voxels as left vertices, half as right ones; one vertex has no data."""
    exp, layout, half = experiment(), "nsd-fsaverage", 22
    write_design(layout, root)
    write_stimuli(layout, root)
    for side, columns in (("left", np.arange(half)), ("right", np.arange(half, V))):
        n = len(columns) + 5
        inside = np.zeros((n, 1, 1), np.int32)
        inside[2 : 2 + len(columns)] = 1
        save_volume(path_of(layout, f"{side}_mask", root), inside)
        for session in range(1, SESSIONS + 1):
            values = np.full((n, 1, 1, PER_SESSION), np.nan, np.float32)
            values[2 : 2 + len(columns), 0, 0] = exp.betas[exp.session == session][:, columns].T
            save_volume(path_of(layout, f"{side}_betas", root, subject=SUBJECT, session=session), values)
        labels = np.zeros((n, 1, 1), np.int32)
        labels[2 : 2 + len(columns), 0, 0] = exp.labels[columns]
        save_volume(path_of(layout, f"{side}_regions", root, atlas="prf-visualrois"), labels)
    return root


def behav(trial: int) -> np.ndarray:
    exp = experiment()
    record = np.full((1, 17), -1.0)
    record[0, [0, 1, 2, 5, 16]] = exp.shown[trial], 1, exp.session[trial], trial, exp.is_shared[trial]
    return record


def write_nsd_mindeye2(root: Path) -> Path:
    exp, layout = experiment(), "nsd-mindeye2"
    with h5py.File(path_of(layout, "betas", root, subject=SUBJECT), "w") as file:
        file["betas"] = zscored()
    with h5py.File(path_of(layout, "stimuli", root), "w") as file:
        file["images"] = (exp.pictures.transpose(0, 3, 1, 2) / 255).astype(np.float16)
    trials = np.arange(len(exp.order))
    for session in range(SESSIONS):
        chosen = trials[(exp.session == session + 1) & ~exp.is_shared]
        path = path_of(layout, "training_trials", root, subject=SUBJECT, session=session)
        write_tar(
            path,
            [{"behav.npy": npy(behav(trial)), "past_behav.npy": npy(np.zeros((15, 17)))} for trial in chosen],
        )
    for name, chosen in (
        ("test_trials", trials[exp.is_shared]),
        ("old_test_trials", trials[exp.is_shared & (exp.order > 0) & (exp.session < SESSIONS)]),
    ):
        path = path_of(layout, name, root, subject=SUBJECT, session=0)
        write_tar(path, [{"behav.npy": npy(behav(trial))} for trial in chosen])
    with h5py.File(path_of(layout, "regions", root), "w") as file:
        file[f"{SUBJECT}/V1"] = experiment().labels == 1
        file[f"{SUBJECT}/nsd_general"] = np.ones(V, bool)
    return root


def write_nsd_mindeye1(root: Path) -> Path:
    exp, layout, betas = experiment(), "nsd-mindeye1", zscored()
    images = np.arange(N_IMAGES)

    def sample(image: int) -> dict[str, bytes]:
        at = exp.order == image
        return {
            "coco73k.npy": npy(np.array([exp.rows[image]])),
            "jpg": jpeg(exp.pictures[exp.rows[image]]),
            "nsdgeneral.npy": npy(betas[at]),
            "num_uniques.npy": npy(np.array([3])),
            "trial.npy": npy(np.flatnonzero(at)),
        }

    own, k = images[N_SHARED:], 0
    for name, shard, chosen in (
        ("training_samples", 0, own[:15]),
        ("training_samples", 1, own[15:25]),
        ("validation_samples", 0, own[25:]),
        ("test_samples", 0, images[:N_SHARED]),
    ):
        path = path_of(layout, name, root, subject=SUBJECT, shard=shard)
        write_tar(path, [sample(image) for image in chosen], first=k)
        k += len(chosen)
    return root


def first_shown() -> tuple[np.ndarray, np.ndarray]:
    """Rows of own and of shared images in the order in which they were first shown."""
    first = np.array(list(dict.fromkeys(experiment().order.tolist())))
    return first[first >= N_SHARED], first[first < N_SHARED]


def write_numpy(root: Path, layout: str) -> Path:
    exp, number = experiment(), SUBJECT[-1]
    for split, images in zip(("training", "test"), first_shown()):
        trials = np.stack([exp.betas[exp.order == image] for image in images])  # (N, R, V) percent
        stored = np.round(trials * 300)
        stored = stored.mean(axis=1) if layout == "nsd-brain-diffuser" else stored / 2000
        np.save(path_of(layout, f"{split}_betas", root, subject=SUBJECT, number=number), stored)
        pictures = exp.pictures[exp.rows[images]].astype(np.float64)
        np.save(path_of(layout, f"{split}_stimuli", root, subject=SUBJECT, number=number), pictures)
    write_design(layout, root)
    return root


def write_algonauts(root: Path) -> Path:
    exp, layout, betas = experiment(), "algonauts2023", zscored()
    means = np.stack([betas[exp.order == image].mean(0) for image in range(N_IMAGES)])
    for k in range(N_IMAGES):
        picture = f"train-{k + 1:04d}_nsd-{exp.rows[k]:05d}"
        Image.fromarray(exp.pictures[exp.rows[k]]).save(
            path_of(layout, "pictures", root, subject=SUBJECT, picture=picture)
        )
    for side, columns in (("left", slice(0, 20)), ("right", slice(20, V))):
        np.save(
            path_of(layout, f"{side}_responses", root, subject=SUBJECT), means[:, columns].astype(np.float32)
        )
        labels = exp.labels[columns].astype(np.float32)
        np.save(path_of(layout, f"{side}_regions", root, subject=SUBJECT, atlas="prf-visualrois"), labels)
    np.save(
        path_of(layout, "region_names", root, subject=SUBJECT, atlas="prf-visualrois"),
        {0: "Unknown", 1: "V1v", 2: "V1d", 3: "V2v"},
    )
    return root


def write_nsd_synthetic(root: Path) -> Path:
    """Nine pictures for all and three of the subject's own, wider than they are high, linear in luminance."""
    apart, layout = elsewhere(), "nsd-synthetic"
    write_nsd(root, layout=layout)
    scipy.io.savemat(
        path_of(layout, "synthetic_design", root), {"masterordering": (apart.order + 1)[None].astype(float)}
    )
    wide = np.full((12, 64, 100, 3), 64, np.uint8)
    wide[:, :, 18:82] = np.round((apart.pictures / 255.0) ** 2 * 255)
    for name, chosen in (("synthetic_stimuli", slice(0, 9)), ("color_stimuli", slice(9, 12))):
        with h5py.File(path_of(layout, name, root, subject=SUBJECT), "w") as file:
            file["imgBrick"] = wide[chosen]
    stored = volume(np.round(apart.betas * 300).astype(np.int16).T, outside=0)
    save_betas(path_of(layout, "synthetic_betas", root, subject=SUBJECT), stored)
    return root


def write_nsd_imagery(root: Path) -> Path:
    """Runs of twelve trials for pictures and for words alike; those of attention have two betas a trial."""
    apart, layout = elsewhere(), "nsd-imagery"
    write_nsd(root, layout=layout)
    sets = {letter: list(pictures) for letter, pictures in TARGETS.items()} | {"C": list("SZMYNF")}
    for letter, pictures in TARGETS.items():
        for k, name in enumerate(pictures.values()):
            path = path_of(layout, "target_pictures", root, set=f"set{letter}", picture=name)
            Image.fromarray(apart.pictures["AB".index(letter) * 6 + k]).save(path)
    betas = []
    for run in RUNS:
        cues = [sets[run[3]][k % 6] for k in (*range(6), *range(5, -1, -1))]
        lines = ["SUBJECT\tSESSION\tRUN\tTRIAL\tCONDITION"]
        lines += [f"1\t1\t{RUNS.index(run) + 1}\t{k + 1}\t{cue}" for k, cue in enumerate(cues)]
        path = path_of(layout, "imagery_runs", root, subject=SUBJECT, run=run)
        path.write_text("\n".join(lines) + "\n")
        betas += imagery_betas(run, cues)
    stored = volume(np.round(np.stack(betas) * 300).astype(np.int16).T, outside=0)
    save_betas(path_of(layout, "imagery_betas", root, subject=SUBJECT), stored)
    return root


def imagery_betas(run: str, cues: list[str]) -> list[np.ndarray]:
    """(45,) of each beta of a run: the first or second trial of a picture, half as strong where imagined."""
    apart, seen, betas = elsewhere(), {}, []
    order = [cue for pictures in TARGETS.values() for cue in pictures]
    for cue in cues:
        if run.startswith("att") or cue not in order:
            betas += [np.full(V, 9.0)] * (2 if run.startswith("att") else 1)
            continue
        trials = np.flatnonzero(apart.order == order.index(cue))
        beta = apart.betas[trials[seen.setdefault(cue, 0)]]
        seen[cue] = 1
        betas.append(beta / 2 if run.startswith("img") else beta)
    return betas
