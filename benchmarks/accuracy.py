"""What chose System 4's detector: AUC and pAUC of every candidate on real modulation spectra, by machine id.

    python benchmarks/accuracy.py [--reference DIR]

DIR (default ../shared/reference beside the repo) holds `modspec_saved/`, System 1's cache of the real
DCASE 2020 development set (docs/accuracy.md), and, if there, `peers/system1_uav_02.npz`. Labels exist
for ten ids of five machine types; they were looked at to choose. So the parts that follow say how
much of the choice is luck: settings chosen on four types and measured on the fifth, chosen on one id
of each type and measured on the other, and a comparison that needs no labels, on all 23 ids: held-out
normal clips of an id against clips of a sibling id that the detector has never seen. A few minutes on
one core.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import itertools
import sys
import time
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.mixture import GaussianMixture
from sklearn.neural_network import MLPClassifier

from asd.detectors import (
    FewClipsWarning,
    GraphClusters,
    LocalReconstruction,
    ReconstructionDiscriminant,
    SiblingDiscriminant,
)
from asd.metrics import auc, pauc

REPO = Path(__file__).resolve().parents[1]
TYPES = ("ToyCar", "fan", "pump", "slider", "valve")
IDS = {machine: (0, 2, 4, 6) for machine in TYPES} | {"ToyCar": (1, 2, 3, 4), "ToyConveyor": (1, 2, 3)}
LABELLED = [(machine, id) for machine in TYPES for id in IDS[machine][:2]]
CHANNEL, RATE = np.divmod(np.arange(480), 8)


class Id:
    """Spectra of one machine id, its siblings' training spectra, and what several candidates share."""

    def __init__(self, folder, machine, id):
        def load(part, id=id):
            return np.load(folder / f"{machine}{id}_{part}_NR-100_d_.npy").astype(float)

        self.train = load("X_train").reshape(-1, 480)
        self.siblings = [load("X_train", other).reshape(-1, 480) for other in IDS[machine] if other != id]
        if (machine, id) in LABELLED:
            self.test, self.y = load("X_test").reshape(-1, 480), load("y_test")

    def standardised(self, view=lambda x: np.log(x + 1e-10), std_floor=0.0):
        """Training, test and sibling vectors in standard deviations of the training clips."""
        train, test, *siblings = (view(x) for x in (self.train, self.test, *self.siblings))
        mean, std = train.mean(axis=0), train.std(axis=0) + std_floor
        return (train - mean) / std, (test - mean) / std, [(x - mean) / std for x in siblings]

    @cached_property
    def log(self):
        return self.standardised()

    @cached_property
    def levels(self):
        return self.standardised(std_floor=0.1)

    @cached_property
    def distances(self):
        return distances(*self.log[:2])

    @cached_property
    def order(self):
        """Each training and test vector's other training vectors, nearest first."""
        return tuple(np.argsort(d, axis=1, kind="stable")[:, :64] for d in self.distances)


# Candidates' parts: functions of an Id that return scores of its training clips (each as if it had not
# been in training) and of its test clips. A combination standardises both by the first.


def distances(train, test, metric="cityblock"):
    own = cdist(train, train, metric)
    np.fill_diagonal(own, np.inf)
    return own, cdist(test, train, metric)


def outlier_factor(d, k=4):
    def nearest(d):
        index = np.argpartition(d, k - 1, axis=1)[:, :k]
        return index, np.take_along_axis(d, index, 1)

    index, own = nearest(d[0])
    k_distance = own.max(axis=1)
    density = 1 / (np.maximum(own, k_distance[index]).mean(axis=1) + 1e-10)
    test_index, test = nearest(d[1])
    reach = np.maximum(test, k_distance[test_index]).mean(axis=1)
    return density[index].mean(axis=1) / density, density[test_index].mean(axis=1) * reach


def lof(view, metric="cityblock"):
    return lambda i: outlier_factor(distances(*i.standardised(view)[:2], metric))


def band_lof(i):
    train, test, _ = i.log
    bands = [b == CHANNEL // 4 for b in range(15)]
    return mean(*(outlier_factor(distances(train[:, b], test[:, b])) for b in bands))


def whitened_lof(i, shrinkage=0.3):
    train, test, siblings = i.log
    within = shrink(np.mean([np.cov(x.T) for x in (train, *siblings)], axis=0), shrinkage)
    values, vectors = np.linalg.eigh(within)
    return outlier_factor(
        distances(train @ (vectors / np.sqrt(values)), test @ (vectors / np.sqrt(values)), "euclidean")
    )


def nearest_distance(i, k=1):
    return tuple(np.sort(d, axis=1)[:, :k].mean(axis=1) for d in i.distances)


def density_normalised(i, k=4):
    scale = np.sort(i.distances[0], axis=1)[:, :k].mean(axis=1)
    return tuple((d / scale).min(axis=1) for d in i.distances)


def shrink(covariance, weight):
    return (1 - weight) * covariance + weight * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def mahalanobis(residuals, shrinkage):
    precision = np.linalg.inv(shrink(residuals[0].T @ residuals[0] / len(residuals[0]), shrinkage))
    return tuple(np.sqrt(np.maximum(np.sum(r @ precision * r, axis=1), 0)) for r in residuals)


def gaussian(i, shrinkage=0.1):
    return mahalanobis(i.log[:2], shrinkage)


def local_mean(i, k=16, shrinkage=0.5, n_scale=8, groups=(slice(None),)):
    """Deviation from the mean of the k neighbours, Mahalanobis by training deviations, over the neighbours'."""
    train = i.log[0]
    residuals = tuple(x - train[o[:, :k]].mean(axis=1) for x, o in zip(i.log[:2], i.order, strict=True))

    def part(group):
        own, test = mahalanobis([r[:, group] for r in residuals], shrinkage)
        if not n_scale:
            return own, test
        return tuple(d / own[o[:, :n_scale]].mean(axis=1) for d, o in zip((own, test), i.order, strict=True))

    return mean(*(part(group) for group in groups))


def reconstruction(**settings):
    def scores(i):
        part = LocalReconstruction(**settings).fit(i.levels[0])
        return part.training_scores_, part.decision_function(i.levels[1])

    return scores


def reconstruction_covariance(i, shrinkage=0.5):
    """Local reconstruction whose error is measured by Mahalanobis instead of Euclidean distance."""
    train, test = i.levels[:2]

    def residual(x, neighbours):
        d = train[neighbours] - x
        gram = d @ d.T
        w = np.linalg.solve(gram / np.trace(gram) + 0.1 / len(d) * np.eye(len(d)), np.ones(len(d)))
        return w / w.sum() @ d

    d = mahalanobis(
        [np.array([residual(*p) for p in zip(x, o, strict=True)]) for x, o in zip((train, test), i.order, strict=True)],
        shrinkage,
    )
    return tuple(np.log(e) - np.log(d[0])[o[:, :8]].mean(axis=1) for e, o in zip(d, i.order, strict=True))


def discriminant(**settings):
    def scores(i):
        part = SiblingDiscriminant(**settings).fit(i.levels[0], auxiliary=i.levels[2])
        return part.training_scores_, part.decision_function(i.levels[1])

    return scores


def lda_posterior(i, shrinkage=0.01):
    """-log posterior of the own id, shrinkage LDA over the ids of the type."""
    train, test, siblings = i.log
    classes = [train, *siblings]
    within = shrink(np.mean([np.cov(x.T) for x in classes], axis=0), shrinkage)
    means = np.array([x.mean(axis=0) for x in classes])
    weights = np.linalg.solve(within, means.T)
    bias = -0.5 * np.sum(means * weights.T, axis=1)
    logits = [x @ weights + bias for x in (train, test)]
    return tuple(np.logaddexp.reduce(z - z[:, :1], axis=1) for z in logits)


def network(i, folds=2):
    """Log odds against the siblings of a small network that learns the ids, cross-fitted."""
    train, test, siblings = i.log
    own, tests = np.empty(len(train)), []
    for fold in range(folds):
        out = np.arange(len(train)) % folds == fold
        classes = [train[~out], *siblings]
        y = np.repeat(np.arange(len(classes)), [len(x) for x in classes])
        net = MLPClassifier(64, max_iter=6, batch_size=128, random_state=fold).fit(np.concatenate(classes), y)
        log_p = [net.predict_log_proba(x) for x in (train[out], test)]
        odds = [np.logaddexp.reduce(p[:, 1:], axis=1) - p[:, 0] for p in log_p]
        own[out] = odds[0]
        tests.append(odds[1])
    return own, np.mean(tests, axis=0)


def mixture(i):
    model = GaussianMixture(2, reg_covar=0.1, random_state=0).fit(i.log[0])
    return tuple(-model.score_samples(x) for x in i.log[:2])


def graph(i):
    model = GraphClusters().fit(i.train)
    return np.zeros(len(i.train)), model.decision_function(i.test)


def z(part):
    train, test = part
    return (train - train.mean()) / train.std(), (test - train.mean()) / train.std()


def mean(*parts):
    return tuple(np.mean(s, axis=0) for s in zip(*map(z, parts), strict=True))


def add(base, extra, weight=1.0, rectify=True):
    """base + weight * max(0, extra), both in standard deviations of the training clips."""
    rectified = (lambda x: np.maximum(x, 0)) if rectify else (lambda x: x)
    return tuple(b + weight * rectified(e) for b, e in zip(z(base), z(extra), strict=True))


def larger(*parts):
    return tuple(np.maximum.reduce(s) for s in zip(*map(z, parts), strict=True))


def rank_sum(*parts):
    """Not deployable: a clip's rank among the test clips."""
    return None, sum(rankdata(test) for _, test in parts)


LOF, LOF4, WHITE = "LOF: log, outlier factor (k 4, L1)", "LOF per 4 channels, averaged", "LOF after within-id whitening"
GMM, LDA, LOCAL = "GMM (2, full, reg 0.1)", "LDA posterior of own id", "local mean / neighbours'"
R, RC, F, NET = (
    "R: local reconstruction",
    "R with residual covariance",
    "F: sibling discriminant",
    "N: network over ids",
)

# Name, function, and the candidates whose scores it takes; without these it takes an Id. In the order in
# which they were tried.
CANDIDATES = (
    ("System 1: graph clusters", graph, ()),
    ("no log: outlier factor (k 4, L1)", lof(lambda x: x), ()),
    ("cube root: outlier factor", lof(np.cbrt), ()),
    (LOF, lambda i: outlier_factor(i.distances), ()),
    ("LOF k 2", lambda i: outlier_factor(i.distances, 2), ()),
    ("LOF k 16", lambda i: outlier_factor(i.distances, 16), ()),
    ("LOF, clip's level subtracted", lof(lambda x: np.log(x) - np.log(x).mean(axis=1, keepdims=True)), ()),
    ("LOF, mean over rates only", lof(lambda x: np.log(x.reshape(-1, 60, 8).mean(axis=2))), ()),
    ("LOF, mean over channels only", lof(lambda x: np.log(x.reshape(-1, 60, 8).mean(axis=1))), ()),
    (WHITE, whitened_lof, ()),
    (LOF4, band_lof, ()),
    ("nearest neighbour (L1)", nearest_distance, ()),
    ("nearest neighbour / its own spacing", density_normalised, ()),
    ("Gaussian (shrinkage 0.1)", gaussian, ()),
    (GMM, mixture, ()),
    (LDA, lda_posterior, ()),
    ("LOF + GMM, rank sum (test set)", rank_sum, (LOF, GMM)),
    ("LOF + GMM + LDA, rank sum (test set)", rank_sum, (LOF, GMM, LDA)),
    ("3 LOFs + LDA, rank sum (test set)", rank_sum, (LOF4, LOF, WHITE, LDA)),
    ("3 LOFs + LDA, mean of z", mean, (LOF4, LOF, WHITE, LDA)),
    ("local mean, not over neighbours'", lambda i: local_mean(i, n_scale=0), ()),
    (LOCAL, local_mean, ()),
    ("local mean, per 2 rates", lambda i: local_mean(i, groups=[g == RATE // 2 for g in range(4)]), ()),
    ("local mean, per 20 channels", lambda i: local_mean(i, groups=[g == CHANNEL // 20 for g in range(3)]), ()),
    (R, reconstruction(), ()),
    (RC, reconstruction_covariance, ()),
    (F, discriminant(), ()),
    (NET, network, ()),
    ("local mean + max(0, F)", add, (LOCAL, F)),
    ("LOF + max(0, F)", add, (LOF, F)),
    ("R + LDA posterior", add, (R, LDA)),
    ("R + max(0, N)", add, (R, NET)),
    ("R + F/2, negative F too", lambda r, f: add(r, f, 0.5, rectify=False), (R, F)),
    ("R with residual covariance + max(0, F)", add, (RC, F)),
    ("max(R, F)", larger, (R, F)),
    ("System 4: R + max(0, F)", add, (R, F)),
)


def figures(y, scores):
    return 100 * np.array([auc(y, scores), pauc(y, scores)])


def average(by_id):
    """Over the ids of a type, then over the types."""
    types = dict.fromkeys(machine for machine, _ in by_id)
    return np.mean([np.mean([by_id[k] for k in by_id if k[0] == t], axis=0) for t in types], axis=0)


def pair(values, decimals=1):
    return f"{values[0]:.{decimals}f}/{values[1]:.{decimals}f}"


def row(name, by_id):
    types = [average({k: by_id[k] for k in LABELLED if k[0] == t}) for t in TYPES]
    cells = "".join(f"{pair(c):>12}" for c in [*(by_id[k] for k in LABELLED), *types])
    print(f"{name:40}{pair(average(by_id), 2):>13}{cells}", flush=True)


def header(title):
    columns = [f"{machine} {id}" for machine, id in LABELLED] + list(TYPES)
    print(f"\n{title}\n{'':40}{'average':>13}" + "".join(f"{c:>12}" for c in columns))


def compare(ids):
    header("Candidates, AUC/pAUC in per cent: average over types, each id, each type")
    parts = {k: {} for k in LABELLED}
    for name, function, names in CANDIDATES:
        for k in LABELLED:
            parts[k][name] = function(*(parts[k][n] for n in names)) if names else function(ids[k])
        row(name, {k: figures(ids[k].y, parts[k][name][1]) for k in LABELLED})


def settings_grid(ids):
    """Figures of System 4 by settings: how flat the optimum is, and choice on other machines than the measured."""
    default = (64, 0.1, 8, 0.003, 1.0)
    axes = (32, 64, 128), (0.03, 0.1, 1.0), (4, 8, 16), (0.0003, 0.003, 0.03), (0.0, 0.5, 1.0, 2.0)
    names = "n_neighbors", "ridge", "n_scale", "shrinkage", "weight of max(0, F)"
    F = {(k, s): discriminant(shrinkage=s)(ids[k]) for k in LABELLED for s in axes[3]}
    grid = {}
    for n_neighbors, ridge, n_scale in itertools.product(*axes[:3]):
        if sum(a != b for a, b in zip((n_neighbors, ridge, n_scale), default, strict=False)) > 1:
            continue  # one of the three at a time
        R = {k: reconstruction(n_neighbors=n_neighbors, ridge=ridge, n_scale=n_scale)(ids[k]) for k in LABELLED}
        for s, w in itertools.product(*axes[3:]):
            grid[n_neighbors, ridge, n_scale, s, w] = {k: figures(ids[k].y, add(R[k], F[k, s], w)[1]) for k in LABELLED}
    header("System 4, one setting changed")
    row("as it is", grid[default])
    for axis, (name, values) in enumerate(zip(names, axes, strict=True)):
        for value in values:
            if value != default[axis]:
                row(f"{name} {value:g}", grid[(*default[:axis], value, *default[axis + 1 :])])

    def measure(setting, which):
        return average({k: grid[setting][k] for k in which})

    def choose(which):
        return max(grid, key=lambda setting: measure(setting, which).sum())

    def line(title, which, rest):
        chosen, best = choose(which), choose(rest)
        here, usual, most = (pair(measure(setting, rest)) for setting in (chosen, default, best))
        print(f"{title:42}{here:>12}   System 4 as it is {usual}, best possible {most}   {chosen}")
        return measure(chosen, rest)

    print(f"\nSettings chosen on some machines and measured on others ({', '.join(names)}; {len(grid)} settings)")
    left_out = []
    for machine in TYPES:
        inside, outside = ([k for k in LABELLED if (k[0] == machine) == one] for one in (True, False))
        left_out.append(line(f"chosen without {machine}, measured on it", outside, inside))
    print(f"{'average of these':42}{pair(np.mean(left_out, axis=0)):>12}")
    line("chosen on first ids, measured on second", LABELLED[::2], LABELLED[1::2])
    line("chosen on second ids, measured on first", LABELLED[1::2], LABELLED[::2])
    with_f = np.array([average(by_id) for (*_, weight), by_id in grid.items() if weight])
    share = np.mean((with_f >= (92.5, 83.0)).all(axis=1))
    print(f"all {len(with_f)} settings with F: lowest {pair(with_f.min(axis=0))}, above 92.5/83.0: {share:.0%}")


def fewer_clips(ids):
    header("Fewer training clips (drawn at random); 'alone': without the other ids")
    warnings.simplefilter("ignore", FewClipsWarning)
    for n in (434, 100, 20, 5):
        drawn = {k: ids[k].train[np.random.default_rng(0).permutation(len(ids[k].train))[:n]] for k in LABELLED}
        for name, fit in (
            ("System 1", lambda k, x: GraphClusters().fit(x)),
            ("System 4 alone", lambda k, x: ReconstructionDiscriminant().fit(x)),
            ("System 4", lambda k, x: ReconstructionDiscriminant().fit(x, auxiliary=ids[k].siblings)),
        ):
            scores = {k: fit(k, drawn[k]).decision_function(ids[k].test) for k in LABELLED}
            row(f"{n} clips, {name}", {k: figures(ids[k].y, scores[k]) for k in LABELLED})


def without_labels(ids):
    """Held-out normal clips against clips of a sibling that is left out of the discriminant too."""
    print("\nWithout labels: held-out normal clips against a sibling id's that the detector has not seen, AUC/pAUC")
    detectors = ("System 1", "R", "R + max(0, F)/2", "R + max(0, F)", "R + 2 max(0, F)")
    table = {}
    for k, i in ids.items():
        order = np.random.default_rng(0).permutation(len(i.train))
        held_out, train = i.train[order[: len(order) // 5]], i.train[np.sort(order[len(order) // 5 :])]
        graph = GraphClusters().fit(train)
        results = []
        for j, sibling in enumerate(i.siblings):
            strangers = sibling[:: max(1, len(sibling) // 100)]
            X = np.concatenate([held_out, strangers])
            y = np.repeat([0, 1], [len(held_out), len(strangers)])
            detector = ReconstructionDiscriminant().fit(train, auxiliary=i.siblings[:j] + i.siblings[j + 1 :])
            r, f = detector.parts(X)
            scores = graph.decision_function(X), r, r + f / 2, r + f, r + 2 * f
            results.append([figures(y, s) for s in scores])
        table[k] = np.mean(results, axis=0)
    print(f"{'':28}" + "".join(f"{d:>18}" for d in detectors))
    groups = {f"{m} {i}": [(m, i)] for m, i in ids}
    groups["the ten labelled ids"] = LABELLED
    groups["the ten others of the types"] = [k for k in ids if k not in LABELLED and k[0] in TYPES]
    for name, keys in groups.items():
        cells = np.mean([table[k] for k in keys], axis=0)
        print(f"{name:28}" + "".join(f"{pair(c):>18}" for c in cells))


def second_view(ids, path):
    """System 2's published scores added; in deviations of the test normals, for training scores are not published."""
    header("A second view: System 2's published scores, z by the normal test clips, added with a weight")
    with np.load(path, allow_pickle=False) as data:
        published = {(m, i): data[f"{m}_{i:02d}_ivectors_gmm"] for m, i in LABELLED}
    totals = {}
    for k, i in ids.items():
        if k in LABELLED:
            normal = published[k][i.y == 0]
            detector = ReconstructionDiscriminant().fit(i.train, auxiliary=i.siblings)
            totals[k] = detector.decision_function(i.test), (published[k] - normal.mean()) / normal.std()
    for weight in (0.0, 0.25, 0.5, 1.0):
        row(f"weight {weight:g}", {k: figures(ids[k].y, s + weight * v) for k, (s, v) in totals.items()})
    row("System 2 alone", {k: figures(ids[k].y, v) for k, (_, v) in totals.items()})


def uav(path):
    print("\nuav 02 (79 training clips, no other id)")
    with np.load(path, allow_pickle=False) as data:
        train, test, y = (data[name].astype(float) for name in ("X_train", "X_test", "y_test"))
    for name, detector in (("System 1", GraphClusters()), ("System 4", ReconstructionDiscriminant())):
        print(f"{name:40}{pair(figures(y, detector.fit(train).decision_function(test)), 2):>13}")


def cost(ids):
    i = ids["ToyCar", 1]
    detector = ReconstructionDiscriminant()
    start = time.perf_counter()
    detector.fit(i.train, auxiliary=i.siblings)
    fitted = time.perf_counter()
    detector.decision_function(i.test)
    scored = time.perf_counter()
    print(
        f"\ncost on one core: fitting {len(i.train)} clips beside {sum(map(len, i.siblings))} of other ids "
        f"{fitted - start:.2f} s, scoring {(scored - fitted) / len(i.test) * 1e3:.2f} ms a clip"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=REPO.parent / "shared" / "reference")
    reference = parser.parse_args().reference
    saved = reference / "modspec_saved"
    if not saved.is_dir():
        return f"no such folder: {saved}; give the reference data with --reference"
    warnings.filterwarnings("ignore", module="sklearn")  # a network stopped early on purpose
    ids = {(machine, id): Id(saved, machine, id) for machine in IDS for id in IDS[machine]}
    compare(ids)
    settings_grid(ids)
    fewer_clips(ids)
    without_labels(ids)
    second_view(ids, reference / "published" / "scores_dev.npz")
    if (reference / "peers" / "system1_uav_02.npz").is_file():
        uav(reference / "peers" / "system1_uav_02.npz")
    cost(ids)
    return None


if __name__ == "__main__":
    sys.exit(main())
