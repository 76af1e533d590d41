"""Small folders in the layouts of published data, written from their manifests and the simulated cortex.

One experiment, :func:`experiment`, is what every folder holds: images shown three times over four sessions,
some of them shared.  Paths come from the manifests, so that a manifest and its reader cannot part.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import h5py
import nibabel
import numpy as np
import scipy.io
from PIL import Image

from harness.benchmarks.embedded import Embedded, Params
from harness.benchmarks.layouts.manifest import read_manifest
from harness.benchmarks.layouts.nsd_imagery import RUNS, TARGETS

N_SHARED, N_OWN, REPEATS, SESSIONS, V = 8, 28, 3, 4, 45
N_IMAGES = N_SHARED + N_OWN
PER_SESSION = N_IMAGES * REPEATS // SESSIONS
GRID = (6, 5, 4)
N_STIMULI = 90
SUBJECT = "subj01"
_FIELD = re.compile(r"\{(\w+)(?::0(\d))?\}")


@dataclass(frozen=True)
class Experiment:
    """What was shown and measured.

    pictures : (90, 64, 64, 3) uint8, those not shown included.  order : (T,) row of `rows` in each trial,
    shared
    ones first; rows : (36,) place of each image among the pictures.  betas : (T, 45) percent.  mask : (6,
    5, 4)
    bool of 45 voxels.  labels : (45,) 1 to 3 for areas.  voxels : (45,) places in the simulated cortex.
    """

    pictures: np.ndarray
    rows: np.ndarray
    order: np.ndarray
    betas: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    voxels: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """(T,) place among the pictures of the image of each trial."""
        return self.rows[self.order]

    @property
    def session(self) -> np.ndarray:
        """(T,) from 1."""
        return np.arange(len(self.order)) // PER_SESSION + 1

    @property
    def is_shared(self) -> np.ndarray:
        """(T,) bool."""
        return self.order < N_SHARED


@cache
def experiment() -> Experiment:
    """The one experiment; its responses are those of a simulated cortex, as percent signal change."""
    data = Embedded(Params(n_train=N_OWN, n_test=N_SHARED, repeats=REPEATS)).load(SUBJECT)
    rng = np.random.default_rng(7)
    chosen = np.sort(rng.choice(data.space.n_voxels, V, replace=False))
    rows = np.sort(rng.choice(N_STIMULI, N_IMAGES, replace=False))
    rows = rng.permutation(rows)  # a subject's list of images is in no order
    pictures = rng.integers(0, 256, (N_STIMULI, 64, 64, 3), dtype=np.uint8)
    pictures[rows[:N_SHARED]] = data.test.stimuli.images()
    pictures[rows[N_SHARED:]] = data.train.stimuli.images()
    order = np.concatenate([rng.permutation(N_IMAGES) for _ in range(REPEATS)])
    patterns = [data.test.responses.repeats(), data.train.responses.repeats()]
    betas, seen = np.zeros((len(order), V)), np.zeros(N_IMAGES, int)
    for trial, image in enumerate(order):
        shared = image < N_SHARED
        repeats = patterns[0 if shared else 1][image if shared else image - N_SHARED]
        betas[trial] = repeats[seen[image], chosen]
        seen[image] += 1
    session = np.arange(len(order)) // PER_SESSION
    betas = 1.5 * betas + 0.4 * rng.standard_normal((SESSIONS, V))[session] + 0.8  # drifts between sessions
    mask = np.zeros(GRID, bool)
    mask.ravel()[np.sort(rng.choice(mask.size, V, replace=False))] = True
    return Experiment(pictures, rows, order, betas, mask, np.arange(V) % 3 + 1, chosen)


@dataclass(frozen=True)
class Elsewhere:
    """Other pictures, (12, 64, 64, 3) uint8, and betas (24, 45), percent, of a session of its own: each was
    shown in two trials, `order` (24,)."""

    pictures: np.ndarray
    order: np.ndarray
    betas: np.ndarray


@cache
def elsewhere() -> Elsewhere:
    """The one session apart."""
    data = Embedded(Params(n_train=4, n_test=N_SHARED + 12, repeats=2)).load(SUBJECT)
    rng, voxels = np.random.default_rng(11), experiment().voxels
    pictures = data.test.stimuli.images()[N_SHARED:]
    patterns = data.test.responses.repeats()[N_SHARED:, :, voxels]
    order = np.concatenate([rng.permutation(12), rng.permutation(12)])
    betas = np.stack([patterns[image, trial // 12] for trial, image in enumerate(order)])
    return Elsewhere(pictures, order, 1.5 * betas + 0.4 * rng.standard_normal(V) + 0.8)


def path_of(layout: str, entry: str, root: Path, **values: str | int) -> Path:
    """Where the manifest puts a file, its folder made."""
    pattern = read_manifest(layout).entry(entry).path

    def filled(match: re.Match) -> str:
        value = values[match[1]]
        return f"{value:0{match[2]}d}" if match[2] else str(value)

    path = root / _FIELD.sub(filled, pattern)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def volume(values: np.ndarray, *, outside: float = -1) -> np.ndarray:
    """(V, ...) values of the mask's voxels in the grid, `outside` it another number."""
    mask = experiment().mask
    grid = np.full((*GRID, *values.shape[1:]), outside, values.dtype)
    grid[mask] = values
    return grid


def save_volume(path: Path, values: np.ndarray) -> None:
    affine = np.diag([1.8, 1.8, 1.8, 1.0])
    kind = nibabel.MGHImage if path.suffix in (".mgh", ".mgz") else nibabel.Nifti1Image
    nibabel.save(kind(values, affine), path)


def save_betas(path: Path, values: np.ndarray) -> None:
    """(X, Y, Z, T), as the ending of `path` says: a volume, or HDF5 with MATLAB's axes in reverse."""
    if path.suffix != ".hdf5":
        save_volume(path, values)
        return
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=values.T, chunks=(values.shape[-1], 1, 1, 1))


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


def zscored() -> np.ndarray:
    """(T, V) by session, with trials of images that are not shared."""
    exp = experiment()
    out = np.empty_like(exp.betas)
    for session in range(1, SESSIONS + 1):
        of, fitted = exp.session == session, (exp.session == session) & ~exp.is_shared
        out[of] = (exp.betas[of] - exp.betas[fitted].mean(0)) / exp.betas[fitted].std(0)
    return out.astype(np.float32)


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def write_tar(path: Path, samples: list[dict[str, bytes]], *, first: int = 0) -> None:
    with tarfile.open(path, "w") as archive:
        for k, sample in enumerate(samples, start=first):
            for name, content in sample.items():
                member = tarfile.TarInfo(f"sample{k:09d}.{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


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


def jpeg(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=95)
    return stream.getvalue()


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


WRITERS = {
    "nsd": write_nsd,
    "nsd-fsaverage": write_nsd_fsaverage,
    "nsd-mindeye2": write_nsd_mindeye2,
    "nsd-mindeye1": write_nsd_mindeye1,
    "nsd-brain-diffuser": lambda root: write_numpy(root, "nsd-brain-diffuser"),
    "nsd-synbrain": lambda root: write_numpy(root, "nsd-synbrain"),
    "algonauts2023": write_algonauts,
    "things-fmri": write_things,
    "god": write_god,
    "nsd-synthetic": write_nsd_synthetic,
    "nsd-imagery": write_nsd_imagery,
    "bold5000": write_bold5000,
    "mosaic": write_mosaic,
    "laion-fmri": write_laion,
}
