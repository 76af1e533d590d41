"""What each score means, in a sentence for a reader who has never seen it."""

from __future__ import annotations

from collections.abc import Mapping

_WINS = (
    "how often the features of a reconstruction correlate more with those of its own stimulus than with "
    "those of {rivals}"
)
_TWO_WAY = _WINS.format(
    rivals="one other test stimulus, over all pairs; 0.5 is guessing, and a "
    "shuffled row lies a little below it, since no image is re-paired with its own stimulus"
)
_STRICT = "; equal correlations are lost"
_NETWORKS = ("alexnet2", "alexnet5", "inception", "clip", "dinov2")
_HUNDRED_WAY = _WINS.format(rivals="99 other test stimuli at once; 0.01 is guessing")
_LOOKALIKE = _WINS.format(
    rivals="one other test stimulus of the same category and background; 0.5 is guessing, "
    "and intervals draw whole kinds, since the images of a kind are scored against each other"
)
_DISTANCE = "1 − correlation of the features of a reconstruction and its stimulus"

MEANINGS: Mapping[str, str] = {
    "pixcorr": "correlation over pixels of a reconstruction and its stimulus",
    "pixcorr-native": "correlation over pixels of the two at the size they have, without resizing",
    "truth-r": "correlation over test images of a voxel's predicted and noise-free response, which only "
    "simulated data have",
    "ssim": "structural similarity of the two images in grey: local brightness, contrast and structure",
    "pixel-2way": _TWO_WAY + "; the features are pixels",
    "pixel-2way-strict": _TWO_WAY + "; the features are pixels" + _STRICT,
    "pixel-100way": _HUNDRED_WAY + "; the features are pixels",
    **dict.fromkeys(_NETWORKS, _TWO_WAY),
    **dict.fromkeys((f"{name}-strict" for name in _NETWORKS), _TWO_WAY + _STRICT),
    "clip-100way": _HUNDRED_WAY,
    **dict.fromkeys(("clip-lookalike", "inception-lookalike"), _LOOKALIKE),
    **dict.fromkeys(
        ("clip-cos", "dinov2-cos"), "cosine of the features of a reconstruction and its stimulus"
    ),
    **dict.fromkeys(("efficientnet", "swav"), _DISTANCE),
    "brain-diffuser-pixcorr": "correlation over pixels of the two as 8-bit pictures of 425 px",
    "brain-diffuser-ssim": "structural similarity of the two in grey, column by column, as "
    "Brain-Diffuser has it",
    "decoded-agreement": "how alike the images decoded from predicted and from measured responses are, each "
    "less the mean over images",
    "decoded-agreement-controlled": "the part of the agreement that neither the stimulus explains nor what "
    "the decoder makes of it",
    **dict.fromkeys(
        ("pixel-nearest-train", "clip-nearest-train"),
        "1 − correlation with the most similar training image; stimuli are as far from these as new images",
    ),
    "gnet-brain-correlation": "correlation over voxels of the responses that GNet predicts for a "
    "reconstruction and the measured ones",
    **dict.fromkeys(
        ("synbrain-mse", "synbrain-r", "synbrain-cosine"),
        "for each image, its predicted pattern against each single trial, as SynBrain has it",
    ),
    "synbrain-cka": "how alike all trials and their predictions arrange, as SynBrain has it",
    **dict.fromkeys(
        ("mindsimulator-mse", "mindsimulator-r", "mindsimulator-r2"),
        "predictions against the mean of three trials, as MindSimulator has it",
    ),
    "algonauts-2023": "median over voxels of squared voxel r over the noise ceiling, in percent",
    "algonauts-2021": "voxel r over the root of the split-half reliability",
    **dict.fromkeys(
        ("image-retrieval-300x30", "brain-retrieval-300x30"),
        "retrieval among 300, over 30 overlapping draws, as the field has it",
    ),
    "image-retrieval": "given responses, how often the decoder's embedding finds the stimulus among others",
    "brain-retrieval": "given a stimulus, how often its embedding finds the responses to it among others",
    "category-agreement": "whether a reconstruction is taken for the same object as its stimulus, beyond "
    "chance (Cohen's kappa)",
    "caption-agreement": "whether the same captions fit a reconstruction and its stimulus",
    "caption-meteor": "words, stems and synonyms that a caption shares with its reference, and their order",
    "caption-coco-rougel": "longest run of words, gaps allowed, that a caption shares with its references "
    "(best precision and recall, beta 1.2)",
    **{
        f"caption-coco-bleu{order}": "share of a caption's runs of up to "
        f"{order} words that a reference has, over the whole set; an image's value is its contribution"
        for order in range(1, 5)
    },
    "caption-coco-cider": "runs of words that a caption shares with its references, rare ones counting more",
    "caption-coco-meteor-nltk": "words, stems and synonyms that a caption shares with its best "
    "reference, and their order, by nltk",
    "caption-rouge1": "words that a caption shares with its reference (F1)",
    "caption-rougel": "longest run of words, gaps allowed, that a caption shares with its reference (F1)",
    **dict.fromkeys(
        ("caption-minilm", "caption-clip-b32", "caption-clip-l14"),
        "cosine of the embeddings of a caption and its reference: how close they are in meaning",
    ),
    "voxel-r": "for each voxel, correlation over test images of predicted and mean measured responses",
    "variance-ratio": "spread of a voxel's predictions over that of its measurements; regression and "
    "averaging make it less than 1",
    "voxel-mse": "mean squared error of a voxel, in squared units of the responses; measurement noise leaves "
    "a floor",
    "voxel-r2": "variance of a voxel that was predicted, scale and offset included; below 0 is worse "
    "than its mean",
    "voxel-r2-nc": "squared voxel r over the voxel's noise ceiling; voxels with little signal may exceed 1",
    "voxel-r-nc": "voxel r over the highest r that noise allows",
    "pattern-2way": "how often a predicted pattern over voxels is more like the measured one of its own "
    "image than like another's; 0.5 is guessing",
    "pattern-r": "for each image, correlation over voxels of predicted and measured patterns, the mean "
    "training pattern taken off",
    "pattern-r-raw": "for each image, correlation over voxels of predicted and measured patterns as they "
    "are: what all images share counts too",
    "pattern-cosine": "for each image, cosine of predicted and measured patterns, the mean training pattern "
    "taken off",
    "rsa": "correlation of predicted and measured dissimilarities between all pairs of test images",
    "rsa-spearman": "rank correlation of predicted and measured dissimilarities between all pairs of test "
    "images",
    **dict.fromkeys(
        ("cka", "cka-debiased"),
        "how alike predicted and measured responses arrange the test images; 1 where they are equal up to "
        "scale and rotation",
    ),
    "mse-explained": "share of the error that was removed, of what could be: 0 for the mean training "
    "response, 1 at the noise floor",
    "category-contrast": "correlation over voxels of predicted and measured contrast maps, each category "
    "against the others",
    "category-profile": "correlation over categories of an area's predicted and measured preference",
    "voxel-r-one-sample": "voxel r of a single draw of a stochastic encoder",
    "sample-spread": "spread of an encoder's draws beside that of measured repeats",
    "energy-distance": "how far the distribution of an encoder's draws is from that of measured repeats",
}
"""Name of a metric, without version, family (``@tiny``) or ``-v2`` -> its meaning."""

MEANINGS |= {
    f"neighbours{size}-{score}": meaning
    for size in (10, 30)
    for score, meaning in (
        (
            "r",
            f"correlation over test images of the mean of {size} neighbouring voxels, predicted and measured",
        ),
        ("mse", f"mean squared error of the mean of {size} neighbouring voxels"),
    )
}
